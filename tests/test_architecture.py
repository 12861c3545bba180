"""Who may import whom, and what may not be in any file. `docs/architecture.md` says why."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import structure
from tests.support.checkout import ROOT, python

MODULES = structure.modules()


def libraries(module: str) -> set[str]:
    """Top-level packages that a module imports."""
    return {name.split(".")[0] for name in structure.imported(MODULES[module])}


def within(*rooms: str) -> list[str]:
    """Modules of these rooms."""
    return [name for name in MODULES if name.startswith(tuple(f"{room}." for room in rooms))]


def test_every_module_is_in_a_room() -> None:
    assert len(MODULES) > 200
    named = {name for layer in structure.LAYERS for name in layer}
    assert {structure.room(module) for module in MODULES} <= named
    assert named == {structure.room(module) for module in MODULES}, "a layer without modules"


@pytest.mark.parametrize("room", [name for layer in structure.LAYERS for name in layer])
def test_imports_go_down(room: str) -> None:
    """Lazy imports and those for type checkers are counted."""
    assert [pair for pair in structure.upward() if structure.room(pair[0]) == room] == []


@pytest.mark.parametrize("room", structure.ONLY)
def test_rooms_see_what_they_may(room: str) -> None:
    assert [pair for pair in structure.forbidden() if pair[0].startswith(f"{room}.")] == []


def test_no_circle_of_files() -> None:
    assert structure.circles(structure.edges()) == []


def test_no_circle_of_folders() -> None:
    assert structure.circles(structure.folders()) == []


def test_circles_are_found() -> None:
    assert structure.circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert structure.circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("folder", structure.crowded())
def test_folders_are_not_crowded(folder: str) -> None:
    # A method is a file: that folder grows by design.
    assert folder == "methods" or structure.crowded()[folder] <= structure.MODULES


def test_functions_are_short_and_take_few_parameters() -> None:
    found = structure.functions()
    assert len(found) > 1000
    assert [f for f in found if f.lines > structure.LINES] == []
    assert [f for f in found if f.parameters > structure.PARAMETERS] == []


def test_one_name_in_each_checkout_and_wheel() -> None:
    """`methods` and `report` are packages of `bench`; at the top they would be other distributions' names."""
    tops = {"methods", "report", "datasets"}
    for path in [*MODULES.values(), *ROOT.glob("tests/**/*.py")]:
        assert not {name for name in structure.imported(path) if name.split(".")[0] in tops}, path


HEAVY = {"torch", "torchvision", "timm"}


@pytest.mark.parametrize(
    "module", within("bench.report", "bench.spec", "bench.records", "bench.data", "bench.core")
)
def test_rooms_without_torch(module: str) -> None:
    found = libraries(module) & HEAVY
    # What a card names out of torchvision's datasets is imported when it is fetched.
    assert not found, found
    if module.startswith("bench.report"):
        # Loaded when features are drawn: see `test_without_torch`.
        assert "sklearn" not in libraries(module) or module.endswith(".embeddings")


def test_one_import_of_timm() -> None:
    assert [name for name in MODULES if "timm" in libraries(name)] == ["bench.networks.backbones.image"]


def test_concurrency_lives_with_processes_and_executors() -> None:
    several = {"threading", "multiprocessing", "concurrent", "ray", "asyncio", "joblib", "loky"}
    # Tasks of one batch run side by side within a cell: threads of one process, as torch's own. The process
    # that leads a group of several listens to the others while it trains.
    allowed = {"bench.networks.task_parallel", "bench.engine.cell.leader"}
    rooms = ("bench.processes.", "bench.executors.")
    for module in MODULES:
        if not module.startswith(rooms) and module not in allowed:
            assert not libraries(module) & several, module


LIGHT = [
    *within("bench.core", "bench.spec", "bench.records", "bench.executors"),
    *("bench.processes.pool", "bench.processes.local", "bench.processes.signals", "bench.processes.garbage"),
    *("bench.method.registry", "bench.cli"),
    *("bench.data.catalog", "bench.data.dataset", "bench.data.splits", "bench.data.decoders.image"),
    *("bench.commands.discovery.listing", "bench.commands.progress"),
    *(f"bench.commands.experiments.{name}" for name in ("run", "cost_model", "simulation")),
    *(f"bench.commands.results.{name}" for name in ("report", "baseline", "maintenance")),
    "bench.commands.python.results",
]
LIGHT = [name for name in LIGHT if not name.startswith("bench.executors.ray") and "slurm" not in name]
REPORT = [name for name in within("bench.report") if not name.startswith("bench.report.trackers.")]


@pytest.mark.parametrize("group", ["light", "report"])
def test_without_torch(group: str, tmp_path: Path) -> None:
    modules = LIGHT if group == "light" else REPORT
    code = (
        "import importlib, sys\n"
        f"for name in {modules}:\n"
        "    importlib.import_module(name)\n"
        "    bad = {'torch', 'timm', 'torchvision', 'sklearn', 'bench.methods'} & sys.modules.keys()\n"
        "    assert not bad, (name, bad)\n"
    )
    process = python("-c", code, cwd=tmp_path)
    assert process.returncode == 0, process.stderr


def test_the_command_line_itself_is_light(tmp_path: Path) -> None:
    code = (
        "import sys, bench, bench.cli\n"
        "assert bench.load_results\n"
        "heavy = {'torch', 'pandas', 'pydantic', 'numpy', 'rich', 'matplotlib'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    process = python("-c", code, cwd=tmp_path)
    assert process.returncode == 0, process.stderr


def calls(path: Path) -> Iterator[ast.Call]:
    return (
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
    )


def keyword(call: ast.Call, name: str) -> object:
    found = [k.value for k in call.keywords if k.arg == name]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_unpickled(module: str) -> None:
    path = MODULES[module]
    assert not libraries(module) & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    for call in calls(path):
        text = ast.unparse(call.func)
        if text == "torch.load":
            assert keyword(call, "weights_only") is True
        if text in ("np.load", "numpy.load"):
            assert keyword(call, "allow_pickle") is False
        assert keyword(call, "allow_pickle") is not True
        assert text not in ("eval", "exec", "np.lib.format.read_array", "pd.read_pickle", "torch.hub.load")


def tracked() -> list[Path]:
    """Files under version control, or the whole checkout where git cannot say."""
    git = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    process = subprocess.run(git, capture_output=True, text=True, check=False)
    if process.returncode == 0:
        paths = [ROOT / name for name in process.stdout.split("\0") if name]
    else:
        skipped = ("results", "build", "dist")
        paths = [
            p for p in ROOT.rglob("*") if not {q for q in p.relative_to(ROOT).parts if q.startswith(".")}
        ]
        paths = [path for path in paths if path.relative_to(ROOT).parts[0] not in skipped]
    return [path for path in paths if path.is_file() and path.suffix not in {".png", ".pyc", ".safetensors"}]


HOSTS = "|".join(
    map(re.escape, ("pypi" + ".org", "pythonhosted" + ".org", "registry" + ".npmjs", "conda" + ".anaconda"))
)
FORBIDDEN = {
    "a package registry's host": re.compile(HOSTS),
    "an option that names a registry": re.compile("--(extra-)?" + "index-url|--find" + "-links"),
    "a home or work folder": re.compile(r"(?<![\w.])/(home|Users|root|work)/\w"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_files_hold_nothing_of_one_machine(what: str) -> None:
    paths = tracked()
    assert len(paths) > 50
    found = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if FORBIDDEN[what].search(line) and path != Path(__file__):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not found


def test_no_private_parts_of_the_registered_hosts_in_this_file() -> None:
    """The patterns above are themselves sound."""
    assert FORBIDDEN["a package registry's host"].search("https://files." + "pythonhosted" + ".org/x")
    assert FORBIDDEN["a home or work folder"].search("cd " + "/home" + "/someone")
    assert not FORBIDDEN["a home or work folder"].search("https://example.org/work/x")
