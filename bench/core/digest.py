"""Digests of code, blind to comments, docstrings, layout and bounds: only a change of meaning counts."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]

ROOMS = ("data", "engine", "method", "networks", "spec")
"""Folders of the code that decides a cell's numbers, their subfolders included."""

FILES = (
    "core/components.py",
    "core/seeds.py",
    "core/waveforms.py",
    "method/maths/logistic.py",
    "method/maths/normalisation.py",
    "processes/memory.py",
    "records/metrics.py",
    "records/selection.py",
)
"""Files that decide numbers and lie elsewhere, or in a folder of `EXCEPTIONS`."""

SHARED = "in the digests of the methods that import it"
METHODS = "methods"
"""Folder of the methods, which are in the digests of those that import them too."""

EXCEPTIONS = {
    "data/archive.py": "unpacks what has a digest of its own",
    "data/doctor": "findings about a dataset, for its owner",
    "data/objects.py": "writes images into files, whose content has a digest",
    "engine/cell/environment.py": "describes the machine",
    "engine/cell/feature_export.py": "features beside the predictions, for figures",
    "engine/cell/messages.py": "form of messages between the processes of a cell",
    "engine/evaluation/transferability.py": "scores of networks, in no record",
    "engine/training/checkpoints.py": "where a stage's state is kept, not what it is",
    "engine/training/cost.py": "time and memory",
    "engine/training/energy.py": "joules",
    "engine/training/throughput.py": "time and operations",
    "method/alignment.py": SHARED,
    "method/bounds.py": "refuses values, and changes none",
    "method/episodic.py": SHARED,
    "method/federated.py": SHARED,
    "method/generalisation.py": SHARED,
    "method/maths": SHARED,
    "method/named.py": SHARED,
    "method/probed.py": SHARED,
    "method/registry.py": "names; hyperparameters are in the key, a recipe's rates in method/base.py",
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
def library_versions(*others: str) -> str:
    """Versions of `LIBRARIES` and others that are installed, as `numpy 2.4.6, pillow 12.0.0`.

    Builds of one release count as the same.
    """
    found = ((name, package_version(name)) for name in sorted({*LIBRARIES, *others}))
    return ", ".join(f"{name} {release.partition('+')[0]}" for name, release in found if release)


def libraries_of(versions: str) -> list[str]:
    """Names in what `library_versions` has returned."""
    return [each.partition(" ")[0] for each in versions.split(", ")]


def imported_packages(files: Iterable[Path], module: str = "") -> list[str]:
    """Installed distributions beside `LIBRARIES` that files import from, anywhere in them.

    Args:
        module: that of the method, whose own package does not count.
    """
    names = {name for file in files for name, _, _ in _parsed(file).imports if not name.startswith(".")}
    own = {*sys.stdlib_module_names, PACKAGE.name, module.partition(".")[0]}
    tops = {name.partition(".")[0] for name in names} - own - set(LIBRARIES)
    return sorted({package for top in tops for package in _distributions().get(top, ())} - set(LIBRARIES))


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Installed distributions by the names that they are imported by, which takes half a second."""
    return packages_distributions()


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


def shared_files(file: Path, package: Path = PACKAGE, module: str = "") -> list[Path]:
    """Code that a method's file shares with others, which it imports directly or through other such code.

    That is shared code of this package, other methods, and the package that holds the method's `module`.
    Found in syntax trees, without importing: a name that `bench.api` exports counts as an import from the
    file that defines it. Files that the engine's digest covers are left out.
    """
    roots = {**_own_package(file, module), PACKAGE.name: package}
    found, todo = {file}, [file]
    while todo:
        for path in set(_imported_files(todo.pop(), roots)) - found:
            # An import of all of `bench.api` may be one of any shared code.
            if path == package / "api.py" or _is_shared(path, package):
                found.add(path)
                todo.append(path)
    # In one order wherever packages are installed.
    return sorted(found - {file, package / "api.py"}, key=lambda path: _place(path, roots))


def shared_code() -> list[Path]:
    """Files of this package that methods share."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if exception(path.relative_to(PACKAGE)) == SHARED]


def _is_shared(path: Path, package: Path) -> bool:
    if not path.is_relative_to(package):
        return True
    place = path.relative_to(package)
    return place.parts[0] == METHODS or exception(place) == SHARED


def _own_package(file: Path, module: str) -> dict[str, Path]:
    """Name and folder of the package that a method's module is in; empty for a module of its own."""
    top, *inner = module.split(".")
    depth = len(inner) - (file.name != "__init__.py")
    return {top: file.parents[depth]} if module and depth >= 0 else {}


def _place(path: Path, roots: Mapping[str, Path]) -> tuple[str, ...]:
    """Names of the packages that a file lies in, and its own; empty where it lies in none of these."""
    inside = (path.relative_to(root).parts for root in roots.values() if path.is_relative_to(root))
    tops = (top for top, root in roots.items() if path.is_relative_to(root))
    return next(((top, *parts) for top, parts in zip(tops, inside, strict=True)), ())


def _imported_files(file: Path, roots: Mapping[str, Path]) -> Iterator[Path]:
    for module, name, _ in _imports(file, roots):
        if path := _definition(module, name, roots):
            yield path


def _imports(file: Path, roots: Mapping[str, Path]) -> Iterator[tuple[str, str, str]]:
    """Imports of a file, relative ones as if they named their package."""
    for module, name, alias in _parsed(file).imports:
        inner = module.lstrip(".")
        level, folders = len(module) - len(inner), _place(file, roots)[:-1]
        above = folders[: len(folders) - level + 1] if level else ()
        yield ".".join(filter(None, (*above, inner))), name, alias


def _definition(module: str, name: str, roots: Mapping[str, Path]) -> Path | None:
    """File of these packages that defines a name which is imported from a module."""
    if submodule := _module_file(f"{module}.{name}", roots):
        return submodule
    file = _module_file(module, roots)
    for source, original, alias in _imports(file, roots) if file else ():
        if alias == name and (source, original) != (module, name):
            return _definition(source, original, roots)
    return file


def _module_file(module: str, roots: Mapping[str, Path]) -> Path | None:
    top, *parts = module.split(".")
    if top not in roots:
        return None
    base = roots[top].joinpath(*parts)
    files = (base.with_suffix(".py"), base / "__init__.py") if parts else (base / "__init__.py",)
    return next((path for path in files if path.is_file()), None)


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
    """A file's code: its digest, and its imports anywhere in it as (module, name, alias), dots included."""

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
            says_nothing = _is_text_or_bounds if isinstance(node, ast.ClassDef) else _is_text
            node.body = [item for item in body if not says_nothing(item)]  # type: ignore[attr-defined]
        if isinstance(node, ast.Import):
            imports += [(alias.name, "*", "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = f"{'.' * node.level}{node.module or ''}"
            imports += [(module, a.name, a.asname or a.name) for a in node.names]
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


def _is_text_or_bounds(node: ast.AST) -> bool:
    """True for a text, and for a class's `bounds`, which refuse hyperparameters and change nothing."""
    match node:
        case ast.Assign(targets=[ast.Name("bounds")]) | ast.AnnAssign(target=ast.Name("bounds")):
            return True
    return _is_text(node)
