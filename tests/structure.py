"""Structure of the code, measured: `python -m tests.structure`; drawn: `python -m tests.structure --picture`.

Imports are read from syntax trees, those inside functions and for type checkers included. `LAYERS` is the one
statement of who may import whom; `tests/test_architecture.py` generates its checks from it.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

LAYERS = (
    ("bench.core",),
    ("bench.processes", "bench.spec", "bench.networks"),
    ("bench.records", "bench.data", "bench.method"),
    ("bench.engine.training",),
    ("bench.engine.evaluation",),
    ("bench.engine.cell",),
    ("bench.executors",),
    ("bench.report.scores",),
    ("bench.report.statistics",),
    ("bench.report.tables",),
    ("bench.report.figures",),
    ("bench.report.render",),
    ("bench.report.regression",),
    ("bench.report.export", "bench.report.history", "bench.report.site", "bench.report.trackers"),
    ("bench.commands",),
    ("bench.cli",),
    ("bench.api",),
    ("bench.methods",),
    ("bench",),
)
"""Rooms from the lowest to the highest: each imports from lower layers only, and not from its neighbours."""

ONLY = {
    "bench.methods": ("bench.api",),
    "bench.report": (
        "bench.report",
        "bench.core",
        "bench.processes",
        "bench.spec",
        "bench.records",
        "bench.data",
    ),
    "bench.executors": (
        "bench.executors",
        "bench.core",
        "bench.processes",
        "bench.spec",
        "bench.records",
        "bench.data",
        "bench.method",
        "bench.networks",
        "bench.engine",
    ),
}
"""Rooms that see less than all layers below them."""

MODULES = 14
"""Most modules of a folder."""
LINES, PARAMETERS = 60, 7
"""Most lines and parameters of a function; fields of models and data classes are not counted."""


@cache
def modules() -> dict[str, Path]:
    """Files by dotted name; `methods/` and `report/` are reached through their links in `bench/`."""
    found = {}
    for folder, prefix in (("bench", ""), ("report", "bench."), ("methods", "bench.")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT)
            if {"report", "methods"} & {*inside.parts[1:2]} and folder == "bench":
                continue
            parts = inside.with_suffix("").parts
            found[prefix + ".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    """Syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Dotted names that a file imports anywhere, `from a import b` as `a` and `a.b`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def edges() -> dict[str, set[str]]:
    """Modules of this project that each module imports."""
    known = modules()
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        named = set(imported(path))
        # `from package import module` is an import of the module, and not of what else the package holds.
        bare = {
            node.module
            for node in ast.walk(tree(path))
            if isinstance(node, ast.ImportFrom)
            and all(f"{node.module}.{alias.name}" in known for alias in node.names)
        }
        found[name] = {other for other in named - bare if other in known and other != name}
    return found


def room(module: str) -> str:
    """Room of a module: the longest name of `LAYERS` that it is in."""
    names = [name for layer in LAYERS for name in layer if module == name or module.startswith(f"{name}.")]
    return max(names, key=len)


def level(module: str) -> int:
    """Place of a module's room among the layers, counted from below."""
    return next(place for place, layer in enumerate(LAYERS) if room(module) in layer)


def upward() -> list[tuple[str, str]]:
    """Imports that do not go down, but for those within a room."""
    return [
        (module, other)
        for module, others in sorted(edges().items())
        for other in sorted(others)
        if room(other) != room(module) and level(other) >= level(module)
    ]


def forbidden() -> list[tuple[str, str]]:
    """Imports of rooms that see less than what is below them."""
    return [
        (module, other)
        for module, others in sorted(edges().items())
        for owner, allowed in ONLY.items()
        if module.startswith(f"{owner}.")
        for other in sorted(others)
        if not any(other == name or other.startswith(f"{name}.") for name in allowed)
    ]


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Strongly connected components of more than one node (Tarjan 1972, https://doi.org/10.1137/0201010)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            place = stack.index(node)
            component = stack[place:]
            del stack[place:]
            if len(component) > 1:
                found.append(sorted(component))

    for node in graph:
        if node not in index:
            visit(node)
    return found


def folders() -> dict[str, set[str]]:
    """Folders that the modules of each folder import from, a folder's own subfolders included."""
    graph: dict[str, set[str]] = defaultdict(set)
    known = modules()

    def folder(module: str) -> str:
        return known[module].parent.relative_to(ROOT).as_posix()

    for module, others in edges().items():
        if module.count(".") > 1 or known[module].name != "__init__.py":
            graph[folder(module)] |= {folder(other) for other in others} - {folder(module)}
    # The facades of the top folder are above everything, and nothing imports them.
    graph.pop("bench", None)
    return graph


def rooms() -> dict[str, set[str]]:
    """Rooms that each room imports from; `upward` lists imports that go elsewhere than down."""
    graph: dict[str, set[str]] = {name: set() for layer in LAYERS for name in layer}
    for module, others in edges().items():
        graph[room(module)] |= {room(other) for other in others if level(other) < level(module)}
    return graph


def picture() -> str:
    """Draw `rooms` as a Mermaid flowchart, from the highest to the lowest.

    An arrow that follows from others is left out (transitive reduction).
    """
    graph = rooms()

    def below(name: str) -> set[str]:
        return graph[name].union(*map(below, graph[name]))

    lines = ["flowchart TD"]
    for layer in reversed(LAYERS):
        for name in layer:
            label = "bench/__init__.py" if name == "bench" else name.removeprefix("bench.").replace(".", "/")
            lines.append(f'    {name.replace(".", "_")}["{label}"]')
    for layer in reversed(LAYERS):
        for name in layer:
            direct = graph[name] - set().union(*map(below, graph[name]))
            lines += [f"    {name} --> {other}".replace(".", "_") for other in sorted(direct)]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Function:
    """Where a function is, and its size."""

    where: str
    lines: int
    parameters: int


def functions() -> list[Function]:
    """Every function and method; decorators are no lines of it, `self` and `cls` no parameters.

    Parameters of `click` commands, an option of the command line each, are not counted.
    """
    found = []
    for name, path in modules().items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                own = [a for a in arguments if a.arg not in ("self", "cls")]
                command = any(
                    "click" in ast.unparse(d) or ".command" in ast.unparse(d) for d in node.decorator_list
                )
                lines = (node.end_lineno or 0) - node.lineno + 1
                found.append(Function(f"{name}.{node.name}", lines, 0 if command else len(own)))
    return found


def crowded() -> dict[str, int]:
    """Modules of each folder, `__init__.py` aside."""
    return Counter(
        path.parent.relative_to(ROOT).as_posix()
        for path in modules().values()
        if path.name not in ("__init__.py", "__main__.py")
    )


def untyped_dictionaries() -> int:
    """How often `dict[str, Any]` is written in `bench/`."""
    return sum(
        path.read_text(encoding="utf-8").count("dict[str, Any]")
        for path in modules().values()
        if path.relative_to(ROOT).parts[0] == "bench"
    )


def lines() -> int:
    """Lines of bench, report and methods."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in modules().values())


def main() -> None:
    """Print the numbers, and what exceeds them; or the picture."""
    if "--picture" in sys.argv[1:]:
        print(picture(), end="")
        return
    print(f"upward imports: {len(upward())}")
    for pair in upward():
        print("   ", *pair)
    print(f"imports of rooms that see less: {len(forbidden())}")
    for pair in forbidden():
        print("   ", *pair)
    for what, graph in (("files", edges()), ("folders", folders())):
        print(f"circles of {what}: {len(circles(graph))}")
        for circle in circles(graph):
            print("   ", *circle)
    most = max(crowded().items(), key=lambda item: item[1])
    print(f"modules of a folder, at most: {most[1]} ({most[0]})")
    long = [f for f in functions() if f.lines > LINES]
    wide = [f for f in functions() if f.parameters > PARAMETERS]
    print(f"functions of more than {LINES} lines: {len(long)}")
    for f in long:
        print(f"    {f.where}: {f.lines}")
    print(f"functions of more than {PARAMETERS} parameters: {len(wide)}")
    for f in wide:
        print(f"    {f.where}: {f.parameters}")
    print(f"dict[str, Any] in bench/: {untyped_dictionaries()}")
    print(f"lines of product code: {lines()}")


if __name__ == "__main__":
    main()
