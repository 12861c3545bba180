from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.core.digest import ENGINE, PACKAGE, code_digest, combine, engine_digest, file_digest

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


def test_engine_digest_covers_files_that_exist() -> None:
    for pattern in ENGINE:
        assert list(PACKAGE.glob(pattern)), pattern
    assert engine_digest() == code_digest(*ENGINE)
    for pattern in ENGINE:
        assert engine_digest() != code_digest(*(other for other in ENGINE if other != pattern)), pattern


def imports_of(path: Path) -> set[Path]:
    """Files of the package that a file imports, at its top or inside functions."""
    import ast

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


NO_MATTER = {
    "records/baselines.py": "reads records; reached through bench.load_results alone",
    "commands/results/notebook.py": "reads records; reached through bench.load_results alone",
    "records/archive.py": "reads records; reached through bench.load_results alone",
    "records/store.py": "reads records; reached through bench.load_results alone",
    "core/errors.py": "words of complaints",
    "processes/pool.py": "how many at once",
    "processes/garbage.py": "when memory is freed",
    "processes/malloc.py": "whether memory that is freed stays with the process",
    "records/bulk.py": "how many at once",
    "core/files.py": "how files are written",
    "core/paths.py": "where caches are",
    "engine/training/cost.py": "times and memory, not answers",
    "records/record.py": "a schema with a version of its own",
    "method/registry.py": "names; what it configures is in the key",
    "core/digest.py": "this very thing",
    "engine/training/checkpoints.py": "where a stage's state is kept; what that state is, is resume.py's",
    "records/codec.py": "how records are written down",
    "records/status_cache.py": "what is recorded already",
    "records/migrations.py": "reads older records",
    "spec/resources.py": "what a cell may take of a machine",
    "processes/signals.py": "whether to go on",
    "engine/training/throughput.py": "times, not answers",
    "processes/threads.py": "how many at once",
    "core/text.py": "names as they are shown",
    "core/git.py": "which revision this is",
    "spec/plan.py": "which questions; their content is in the key",
}
"""Files that the engine uses and that decide no number."""


def test_engine_digest_leaves_out_only_what_decides_no_number() -> None:
    covered = {path for pattern in ENGINE for path in PACKAGE.glob(pattern)}
    used, todo = set(covered), list(covered)
    while todo:
        for path in imports_of(todo.pop()) - used:
            used.add(path)
            todo.append(path)
    left_out = {str(path.relative_to(PACKAGE)) for path in used - covered if path.name != "__init__.py"}
    assert left_out <= set(NO_MATTER), "decides numbers (how long a target stage is, which look is stored)?"


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
