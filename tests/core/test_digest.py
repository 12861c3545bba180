from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.core.digest import (
    EXCEPTIONS,
    FILES,
    PACKAGE,
    ROOMS,
    SHARED,
    code_digest,
    combine,
    engine_digest,
    engine_files,
    exception,
    file_digest,
    shared_files,
)

CODE = '''"""What it is."""

import math


class Thing:
    """A thing."""

    size: int = 3

    def area(self, factor: float = 2.0) -> float:
        """Its area."""
        return factor * math.pi * self.size**2
'''


def digest(tmp_path: Path, name: str, code: str) -> str:
    path = tmp_path / f"{name}.py"
    path.write_text(code, encoding="utf-8")
    return file_digest(path)


@pytest.mark.parametrize(
    "changed",
    [
        CODE.replace('"""What it is."""', '"""Something else.\n\nAt length."""'),
        CODE.replace('    """A thing."""\n\n', ""),
        CODE.replace('"""Its area."""', '"""π."""'),
        CODE.replace("size: int = 3", 'size: int = 3\n    """How large."""'),
        CODE.replace("import math\n", "# All of it.\nimport math  # mathematics\n"),
        CODE.replace(
            "factor * math.pi * self.size**2",
            "(\n            factor\n            * math.pi * self.size ** 2\n        )",
        ),
        CODE.replace("\n\n\n", "\n"),
        CODE.replace("    size: int = 3", '    bounds = {"size": ">= 1"}\n    size: int = 3'),
        CODE.replace("    size: int = 3", "    bounds: dict[str, str] = {}\n    size: int = 3"),
    ],
)
def test_words_and_layout_do_not_count(tmp_path: Path, changed: str) -> None:
    assert changed != CODE
    assert digest(tmp_path, "a", CODE) == digest(tmp_path, "b", changed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("= 3", "= 4"),
        ("2.0", "2.5"),
        ("**2", "**3"),
        ("math.pi * self.size", "self.size * math.pi"),
        ("size: int", "size: float"),
        ("def area", "def surface"),
        ("import math", "import math, cmath"),
        ("return factor", "factor += 1\n        return factor"),
        ("        return", '        bounds = "of a function"\n        return'),
    ],
)
def test_meaning_counts(tmp_path: Path, old: str, new: str) -> None:
    assert old in CODE
    assert digest(tmp_path, "a", CODE) != digest(tmp_path, "b", CODE.replace(old, new))


def test_strings_that_are_values_count(tmp_path: Path) -> None:
    assert digest(tmp_path, "a", 'x = "a"\n') != digest(tmp_path, "b", 'x = "b"\n')


def test_combine() -> None:
    assert len(combine("a", "b")) == 16
    assert len({combine("a", "b"), combine("b", "a"), combine("ab"), combine("a")}) == 4


# The engine's digest -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, whose files can be changed; `api.py` and the methods are in it."""
    copy = tmp_path_factory.mktemp("copy") / "bench"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "results"))
    return copy


@contextmanager
def appended(path: Path, code: str = "changed = 1\n") -> Iterator[None]:
    before = path.read_text(encoding="utf-8")
    path.write_text(f"{before}\n{code}", encoding="utf-8")
    yield
    path.write_text(before, encoding="utf-8")


def digest_of(package: Path) -> str:
    return combine(*map(file_digest, engine_files(package)))


def test_every_change_of_a_file_of_the_engine_changes_its_digest(package: Path) -> None:
    before = digest_of(package)
    assert before == engine_digest()
    digests = {before}
    for path in engine_files(package):
        with appended(path):
            digests.add(digest_of(package))
    assert len(digests) == 1 + len(engine_files(package))
    assert digest_of(package) == before


def test_changes_of_excepted_files_leave_the_engines_digest(package: Path) -> None:
    excepted = [
        path
        for path in package.rglob("*.py")
        if path.relative_to(package).parts[0] in ROOMS and path not in engine_files(package)
    ]
    assert {exception(path.relative_to(package)) for path in excepted} == set(EXCEPTIONS.values())
    for path in excepted:
        with appended(path):
            assert digest_of(package) == engine_digest(), path


def test_a_new_file_of_the_rooms_is_covered(package: Path) -> None:
    new = package / "engine" / "training" / "rooms" / "new.py"
    new.parent.mkdir()
    new.write_text("x = 1\n")
    assert new in engine_files(package)
    assert digest_of(package) != engine_digest()
    shutil.rmtree(new.parent)


def test_what_is_covered_and_what_is_not_exists() -> None:
    assert all((PACKAGE / name).exists() for name in (*ROOMS, *FILES, *EXCEPTIONS))
    assert PACKAGE / "engine/cell/settings.py" in engine_files(), "chooses TF32 and determinism"
    assert len({*engine_files()}) == len(engine_files())
    with pytest.raises(ValueError, match=r"no file of the package matches 'data/decode.py'"):
        code_digest("data/decode.py")


def imports_of(path: Path) -> set[Path]:
    """Files of the package that a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.split(".")[0] == "bench":
                base = PACKAGE.parent / Path(*name.split("."))
                found |= {p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()}
    return found


OUTSIDE = {
    "core/archives.py": "unpacks members that are pinned by their content",
    "core/digest.py": "digests",
    "core/errors.py": "words of complaints",
    "core/files.py": "how files are written",
    "core/modalities.py": "words, and which sizes and augmentations a suite may name",
    "core/packages.py": "reads what a card names by its hash",
    "core/paths.py": "where caches are",
    "core/text.py": "names as they are shown",
    "core/version.py": "which revision this is",
    "core/workarounds.py": "by which way the same gradients are computed",
    "processes/descendants.py": "what ends with a worker",
    "processes/clock.py": "time",
    "processes/expendable.py": "in which process",
    "processes/garbage.py": "when memory is freed",
    "processes/local.py": "how processes of a cell are started",
    "processes/malloc.py": "whether memory that is freed stays with the process",
    "processes/pool.py": "how many at once",
    "processes/protocol.py": "form of messages between processes",
    "processes/server.py": "how a process is served",
    "processes/signals.py": "whether to go on",
    "processes/openmp.py": "how threads wait",
    "processes/threads.py": "how many at once",
    "records/archive.py": "reads records; reached through bench.load_results alone",
    "records/baselines.py": "reads records; reached through bench.load_results alone",
    "records/bulk.py": "how many at once",
    "records/codec.py": "how records are written down",
    "records/migrations.py": "reads older records",
    "records/record.py": "a schema with a version of its own",
    "records/status_cache.py": "what is recorded already",
    "records/store.py": "reads records; reached through bench.load_results alone",
}
"""Files outside the rooms that the engine uses, directly or through others, and that decide no number."""


def test_engine_digest_leaves_out_only_what_decides_no_number() -> None:
    covered = set(engine_files())
    for path in {path for file in covered for path in imports_of(file)} - covered:
        assert exception(path.relative_to(PACKAGE)) != SHARED, f"{path} is the engine's too: name it in FILES"
    used, todo = set(covered), list(covered)
    while todo:
        for path in imports_of(todo.pop()) - used:
            used.add(path)
            todo.append(path)
    left_out = {path.relative_to(PACKAGE) for path in used - covered if path.name != "__init__.py"}
    unknown = {path.as_posix() for path in left_out if exception(path) is None}
    assert unknown <= set(OUTSIDE), "decides numbers (how long a target stage is, which evaluation counts)?"


# A method's digest -------------------------------------------------------------------------------------


def shared(package: Path, code: str) -> list[str]:
    """Shared code of a method of that code, relative to the package."""
    file = package.parent / "someones.py"
    file.write_text(code)
    return [path.relative_to(package).as_posix() for path in shared_files(file, package)]


INNER_LOOP = ["method/maths/inner_loop.py"]
EPISODIC = ["method/episodic.py", *INNER_LOOP]
TASKS = ["networks/second_order.py", "networks/task_parallel.py"]
ADVERSARIAL = ["method/alignment.py", "method/maths/adversarial.py"]
MATHS = ["importance", "information", "inner_loop", "kernels", "memory", "transport", "trees", "weights"]
EVERYTHING = [
    "method/alignment.py",
    "method/episodic.py",
    "method/federated.py",
    "method/generalisation.py",
    "method/maths/adversarial.py",
    *(f"method/maths/{name}.py" for name in MATHS),
    "method/named.py",
    "method/probed.py",
    *TASKS,
]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import torch\nfrom bench.api import GradientMethod, Model, tunable\n", []),
        ("from bench.api import UserError, POOLED, Backbone, fit_logistic\n", []),
        ("from bench.api import GradientMethod, adapt\n", INNER_LOOP),
        ("from bench.api import prototypes as means\n", INNER_LOOP),
        ("from bench.api import InnerLoopMethod\n", EPISODIC),
        ("from bench.api import EpisodicMethod, mean_gradient\n", EPISODIC + TASKS),
        ("def later():\n    from bench.api import mean_gradient\n", TASKS),
        ("from bench.api import AdversarialMethod\n", ADVERSARIAL),
        ("from bench.api import ProbedMethod\n", ["method/probed.py"]),
        ("import bench.api\n", EVERYTHING),
        ("from bench import api\n", EVERYTHING),
        ("from bench.api import *\n", EVERYTHING),
        ("from bench.method.maths import inner_loop\n", INNER_LOOP),
        ("import bench.method.episodic\n", EPISODIC),
        ("from .inner_loop import adapt\nfrom somebench.api import adapt\n", []),
        ("from bench.api import no_such_name\nimport bench.nothing\n", EVERYTHING),
    ],
)
def test_shared_code_of_a_method(package: Path, code: str, expected: list[str]) -> None:
    assert shared(package, code) == expected


def test_shared_code_is_found_through_new_exports_and_files(package: Path) -> None:
    code = "from bench.api import kernel\n"
    maths = package / "method" / "maths"
    (maths / "kernels.py").write_text("from bench.method.maths.distances import square\n\nkernel = square\n")
    (maths / "distances.py").write_text("square = 2\n")
    with appended(package / "api.py", "from bench.method.maths.kernels import kernel\n"):
        assert shared(package, code) == ["method/maths/distances.py", "method/maths/kernels.py"]
        assert shared(package, "from bench.api import adapt\n") == INNER_LOOP, "as before"
    (maths / "kernels.py").unlink()
    (maths / "distances.py").unlink()


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_the_same_in_every_python(tmp_path: Path, version: str) -> None:
    """A record made under one Python is not stale under another."""
    other = shutil.which(f"python{version}")
    if other is None or sys.version.startswith(f"{version}."):
        pytest.skip(f"no other python{version} here")
    code = "from bench.core.digest import engine_digest; print(engine_digest())"
    process = subprocess.run(
        [other, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    if process.returncode:
        pytest.skip(f"python{version} does not run here")
    assert process.stdout.strip() == engine_digest()
