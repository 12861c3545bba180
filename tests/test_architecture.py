"""Who may import whom, and what may not be in any file. `docs/architecture.md` says why."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import ROOT, python

PROJECT = {"bench", "methods", "report"}


def files(*patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports anywhere, `from a import b` as `a` and `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(path: Path) -> set[str]:
    """Top-level packages that a file imports."""
    return {name.split(".")[0] for name in imports(path)}


CODE = files("bench/**/*.py", "methods/*.py", "report/**/*.py")


def test_there_is_code() -> None:
    assert len(CODE) > 40


@pytest.mark.parametrize("path", files("methods/*.py"), ids=lambda path: path.stem)
def test_methods_know_the_api_and_nothing_else(path: Path) -> None:
    own = {name for name in imports(path) if name.split(".")[0] in PROJECT}
    assert {name for name in own if not name.startswith("bench.api")} == set()


@pytest.mark.parametrize("path", files("report/**/*.py"), ids=lambda path: path.stem)
def test_report_reads_records(path: Path) -> None:
    libraries = {"torch", "torchvision", "timm", "methods", "sklearn"}
    # Loaded when features are drawn: see `test_without_torch`.
    assert not rooms(path) & (libraries - ({"sklearn"} if path.stem == "embeddings" else set()))
    own = {name for name in imports(path) if name.startswith("bench.")}
    allowed = (
        "record",
        "store",
        "suite",
        "selection",
        "errors",
        "files",
        "paths",
        "seeds",
        "plan",
        "text",
        "data.card",
        "digest",
        "garbage",
        "executors.pool",
    )
    assert {name for name in own if not name.startswith(tuple(f"bench.{room}" for room in allowed))} == set()


@pytest.mark.parametrize("path", files("bench/data/**/*.py"), ids=lambda path: path.stem)
def test_data_knows_no_methods(path: Path) -> None:
    assert not rooms(path) & {"methods", "torch", "timm", "report"}
    names = set(imports(path))
    assert not [
        name
        for name in names
        if name.startswith(("bench.api", "bench.method.registry", "bench.engine.training.loop"))
    ]


@pytest.mark.parametrize("path", files("bench/**/*.py"), ids=lambda path: str(path.relative_to(ROOT)))
def test_engine_names_no_method_module(path: Path) -> None:
    assert "methods" not in rooms(path)
    if path.parent.name != "commands":
        assert "report" not in rooms(path)


def test_one_import_of_timm() -> None:
    assert [path.relative_to(ROOT).as_posix() for path in CODE if "timm" in rooms(path)] == [
        "bench/networks/backbones.py"
    ]


def test_concurrency_lives_with_the_executors() -> None:
    several = {"threading", "multiprocessing", "concurrent", "ray", "asyncio", "joblib", "loky"}
    # Tasks of one batch run side by side within a cell: threads of one process, as torch's own.
    within = {"bench/networks/task_parallel.py"}
    for path in CODE:
        if path.parent.name != "executors" and path.relative_to(ROOT).as_posix() not in within:
            assert not rooms(path) & several, path


LIGHT = [
    "bench.core.errors",
    "bench.spec.suite",
    "bench.records.record",
    "bench.records.store",
    "bench.records.archive",
    "bench.records.leases",
    "bench.records.codec",
    "bench.records.maintenance",
    "bench.processes.stopping",
    "bench.spec.resources",
    "bench.commands.experiments.simulation",
    "bench.commands.experiments.cost_model",
    "bench.executors.factory",
    "bench.executors.slurm_job",
    "bench.executors.workers",
    "bench.executors.worker",
    "bench.records.baselines",
    "bench.spec.plan",
    "bench.records.selection",
    "bench.method.registry",
    "bench.core.seeds",
    "bench.core.digest",
    "bench.core.files",
    "bench.data.card",
    "bench.data.dataset",
    "bench.data.splits",
    "bench.data.decoders.image",
    "bench.cli",
    "bench.commands.experiments.run",
    "bench.commands.results.report",
    "bench.commands.listing",
    "bench.commands.progress",
    "bench.commands.results.baseline",
    "bench.commands.results.notebook",
    "bench.commands.results.maintenance",
]
REPORT = [f"report.{path.stem}" for path in files("report/*.py") if path.stem != "__init__"]


@pytest.mark.parametrize("group", ["light", "report"])
def test_without_torch(group: str, tmp_path: Path) -> None:
    modules = LIGHT if group == "light" else REPORT
    code = (
        "import importlib, sys\n"
        f"for name in {modules}:\n"
        "    importlib.import_module(name)\n"
        "    bad = {'torch', 'timm', 'torchvision', 'sklearn', 'methods'} & sys.modules.keys()\n"
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


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled(path: Path) -> None:
    assert not rooms(path) & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
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
