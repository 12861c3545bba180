"""Digests of code, blind to comments, docstrings and layout, so that only a change of meaning counts."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]

ROOMS = ("data", "engine", "method", "networks", "spec")
"""Folders of the code that decides a cell's numbers, their subfolders included."""

FILES = (
    "core/seeds.py",
    "method/maths/logistic.py",
    "method/maths/normalisation.py",
    "records/selection.py",
)
"""Files that decide numbers and lie elsewhere, or in a folder of `EXCEPTIONS`."""

SHARED = "in the digests of the methods that import it"

EXCEPTIONS = {
    "data/archive.py": "unpacks what has a digest of its own",
    "data/doctor": "findings about a dataset, for its owner",
    "engine/cell/environment.py": "describes the machine",
    "engine/cell/feature_export.py": "features beside the predictions, for figures",
    "engine/cell/messages.py": "form of messages between the processes of a cell",
    "engine/evaluation/transferability.py": "scores of networks, in no record",
    "engine/training/checkpoints.py": "where a stage's state is kept, not what it is",
    "engine/training/cost.py": "time and memory",
    "engine/training/throughput.py": "time, operations and energy",
    "method/alignment.py": SHARED,
    "method/episodic.py": SHARED,
    "method/maths": SHARED,
    "method/probed.py": SHARED,
    "method/registry.py": "names; hyperparameters are in the key",
    "networks/second_order.py": SHARED,
    "networks/task_parallel.py": SHARED,
    "spec/findings.py": "what is compared in records",
    "spec/matrix": "which cells there are; their content is in the key",
    "spec/resources.py": "processors and memory of a cell",
    "spec/rules.py": "names; the rules are in records/selection.py",
    "spec/toml.py": "reads files; what they hold is in the key",
}
"""Files and folders of the rooms that decide no number of a cell by themselves, each with the reason."""


LIBRARIES = ("numpy", "pillow", "timm", "torch", "torchvision")
"""Packages whose code decides numbers: a release may decode, resize, initialise or add up otherwise."""


@cache
def library_versions() -> str:
    """Versions of `LIBRARIES`, as `numpy 2.4.6, pillow 12.0.0`; builds of one release count as the same."""
    found = ((name, package_version(name)) for name in LIBRARIES)
    return ", ".join(f"{name} {release.partition('+')[0]}" for name, release in found if release)


def package_version(name: str) -> str | None:
    """Version of an installed package, found without importing it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def engine_digest() -> str:
    """Digest of the engine's code."""
    return combine(*map(file_digest, engine_files()))


def engine_files(package: Path = PACKAGE) -> list[Path]:
    """Files that the engine's digest covers."""
    found = [path.relative_to(package) for room in ROOMS for path in (package / room).rglob("*.py")]
    covered = {path.as_posix() for path in found if exception(path) is None}
    return [package / name for name in sorted(covered.union(FILES))]


def exception(path: Path) -> str | None:
    """Reason of `EXCEPTIONS` for a path relative to the package; None where the engine's digest covers it."""
    if path.as_posix() in FILES:
        return None
    reasons = (EXCEPTIONS.get(place.as_posix()) for place in (path, *path.parents))
    return next((reason for reason in reasons if reason), None)


def shared_files(file: Path, package: Path = PACKAGE) -> list[Path]:
    """Shared code that a method's file imports, directly or through other shared code.

    Found in syntax trees, without importing: a name that `bench.api` exports counts as an import from the
    file that defines it. Files that the engine's digest covers are left out.
    """
    found, todo = {file}, [file]
    while todo:
        for path in set(_imported_files(todo.pop(), package)) - found:
            # An import of all of `bench.api` may be one of any shared code.
            if path == package / "api.py" or exception(path.relative_to(package)) == SHARED:
                found.add(path)
                todo.append(path)
    return sorted(found - {file, package / "api.py"})


def _imported_files(file: Path, package: Path) -> Iterator[Path]:
    for module, name, _ in _parsed(file).imports:
        if path := _definition(module, name, package):
            yield path


def _definition(module: str, name: str, package: Path) -> Path | None:
    """File of this package that defines a name which is imported from a module."""
    if submodule := _module_file(f"{module}.{name}", package):
        return submodule
    file = _module_file(module, package)
    for source, original, alias in _parsed(file).imports if file else ():
        if alias == name:
            return _definition(source, original, package)
    return file


def _module_file(module: str, package: Path) -> Path | None:
    top, *parts = module.split(".")
    base = package.joinpath(*parts)
    files = (base.with_suffix(".py"), base / "__init__.py") if parts else (base / "__init__.py",)
    return next((path for path in files if path.is_file()), None) if top == PACKAGE.name else None


def code_digest(*patterns: str) -> str:
    """Digest of the files of this package that match the patterns, each of which matches one at least."""
    files = []
    for pattern in patterns:
        matching = sorted(PACKAGE.glob(pattern))
        if not matching:
            raise ValueError(f"no file of the package matches '{pattern}'")
        files += matching
    return combine(*map(file_digest, files))


def file_digest(path: Path) -> str:
    """Digest of one Python file's meaning."""
    return _parsed(path).digest


class Parsed(NamedTuple):
    """A file's code: its digest, and its imports anywhere in it as (module, name, alias)."""

    digest: str
    imports: tuple[tuple[str, str, str], ...]


def _parsed(path: Path) -> Parsed:
    return _parse(path.read_text(encoding="utf-8"))


@cache
def _parse(code: str) -> Parsed:
    tree = ast.parse(code)
    imports = []
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [item for item in body if not _is_text(item)]  # type: ignore[attr-defined]
        if isinstance(node, ast.Import):
            imports += [(alias.name, "*", "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imports += [(node.module or "", a.name, a.asname or a.name) for a in node.names]
    return Parsed(combine(_plain(tree)), tuple(imports))


def _plain(node: object) -> str:
    """A syntax tree as text, the same in every Python version: fields that say nothing are left out."""
    if isinstance(node, ast.AST):
        parts = [
            f"{name}={_plain(value)}" for name, value in ast.iter_fields(node) if value not in (None, [])
        ]
        return f"{type(node).__name__}({','.join(parts)})"
    return f"[{','.join(map(_plain, node))}]" if isinstance(node, list) else repr(node)


def combine(*parts: str) -> str:
    """16 hexadecimal digits over several strings."""
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def seal(content: bytes) -> bytes:
    """Put the checksum of a cached file's content before it; `unseal` takes it off."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def unseal(sealed: bytes) -> bytes:
    """Content that `seal` sealed.

    Raises:
        ValueError: it was changed, cut or never sealed.
    """
    checksum, _, content = sealed.partition(b"\n")
    if checksum != hashlib.sha256(content).hexdigest().encode():
        raise ValueError("the checksum differs")
    return content


def _is_text(node: ast.AST) -> bool:
    """True if a statement is a docstring or another bare string."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
