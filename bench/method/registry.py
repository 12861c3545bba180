"""Methods by name: a file in a folder of `methods/` each, or an entry point. Lazy."""

from __future__ import annotations

import ast
import contextlib
import fnmatch
import importlib
import importlib.util
import inspect
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.core.digest import (
    PACKAGE,
    combine,
    file_digest,
    imported_packages,
    library_versions,
    shared_files,
)
from bench.core.errors import UserError, check_name, place_in
from bench.method.bounds import check_bounds
from bench.spec.cell import USUAL, Control, Recipe, Value

if TYPE_CHECKING:
    from bench.method.base import Method

OWN = "bench.methods"
"""Package whose modules are methods."""
ENTRY_POINTS = "transfer_bench.methods"
"""Group of other packages' entry points that are methods."""
AND = " and "
"""Between modules that have one name, which is nobody's then."""
FAMILY, OTHERS = "family:", "others"
COSTS = PACKAGE / "methods" / "costs.tsv"
"""Measured costs: written by `python -m tests.speed.steps`."""
NAME = r"[A-Z][\w'-]*(?: [A-Z][\w'-]*)*"
PAPER = re.compile(rf"^({NAME})(?: et al\.| & {NAME})? ((?:19|20)\d\d)\b", re.MULTILINE)
GLOB = re.compile(r"[*?\[]")


@cache
def method_modules() -> dict[str, str]:
    """Module of every method, by name, without importing any of them; of a name that several have, all."""
    spec = importlib.util.find_spec(OWN)
    own: dict[str, str] = {}
    for root in spec.submodule_search_locations or [] if spec else []:
        for path in sorted(Path(root).glob("*/[!_]*.py")):
            name, module = path.stem.replace("_", "-"), f"{OWN}.{path.parent.name}.{path.stem}"
            own[name] = f"{own[name]}{AND}{module}" if name in own else module
    others = {point.name: point.value.split(":")[0] for point in entry_points(group=ENTRY_POINTS)}
    return {**others, **own}


def method_file(name: str) -> Path:
    """File of a method; a `UserError` with a suggestion when there is none of that name."""
    check_name("method", name, method_modules())
    module = method_modules()[name]
    if AND in module:
        raise UserError(f"method '{name}' is there twice, as {module}: rename one of these files")
    try:
        # It imports the packages that a module lies in, which may do anything.
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    except (Exception, SystemExit) as error:
        raise UserError(f"method '{name}' is registered as '{module}': {_cause(error, None)}") from error
    if spec is None or spec.origin is None:
        raise UserError(f"method '{name}' is registered as '{module}', which cannot be found")
    return Path(spec.origin)


def family(name: str) -> str:
    """Family of a method: the folder of `methods/` that it is in, or `others` for another package's."""
    module = method_modules()[name]
    return module.split(".")[-2] if module.startswith(f"{OWN}.") else OTHERS


def select_methods(patterns: Iterable[str]) -> list[str]:
    """Names of methods that match `name`, `family:name` or a pattern like `lp-*`, in order, each once.

    Raises:
        UserError: a pattern that no method or family matches, with a suggestion.
    """
    known = sorted(method_modules())
    families = {family(name) for name in known} - {*known}
    chosen: list[str] = []
    for pattern in patterns:
        if pattern.startswith(FAMILY):
            members = pattern.removeprefix(FAMILY)
            check_name("family of methods", members, families)
            found = [name for name in known if family(name) == members]
        elif GLOB.search(pattern):
            found = fnmatch.filter(known, pattern)
            if not found:
                raise UserError(f"no method matches '{pattern}': see bench list methods")
        elif pattern in families:
            raise UserError(f"'{pattern}' is a family of methods: did you mean '{FAMILY}{pattern}'?")
        else:
            method_file(pattern)
            found = [pattern]
        chosen += found
    return list(dict.fromkeys(chosen))


def family_summary(name: str) -> str:
    """First line of what the family's folder says of itself, without its name."""
    if name == OTHERS:
        return "methods of other packages."
    return _docstring(PACKAGE / "methods" / name / "__init__.py").split("\n")[0].partition(": ")[2]


def method_summary(name: str) -> str:
    """First line of the method's file.

    Raises:
        UserError: it cannot be read, or is of somebody else and cannot be imported.
    """
    file = method_file(name)
    with _readable(name, file):
        text = _docstring(file)
    if not method_modules()[name].startswith(f"{OWN}."):
        load_method(name)
    return text.split("\n")[0]


def method_paper(name: str) -> str:
    """First author and year of the paper that the method's file opens with, as `Ganin 2016`; empty: none."""
    found = PAPER.search(_docstring(method_file(name)))
    return " ".join(found.groups()) if found else ""


def method_needs(name: str) -> str:
    """What a scenario must offer, in words of one each, as `source, images`; imports the method."""
    from bench.method.batch import Access

    words = {
        Access.SOURCE_LABELS: "source",
        Access.SOURCE_DOMAINS: "several",
        Access.TARGET_IMAGES: "images",
        Access.TARGET_LABELS: "shots",
        Access.TASKS: "tasks",
        Access.CLIENTS: "clients",
    }
    needs = load_method(name).needs
    return ", ".join(word for flag, word in words.items() if flag in needs)


class MethodCost(NamedTuple):
    """Time of a training step, or of a whole fit (as text `9*`); a step of full fine-tuning takes 1."""

    time: float
    per_fit: bool = False

    def __str__(self) -> str:
        return f"{self.time:g}{'*' if self.per_fit else ''}"


@cache
def method_costs() -> dict[str, MethodCost]:
    """Costs of methods as they were measured, by name."""
    rows = (line.split("\t") for line in COSTS.read_text(encoding="utf-8").splitlines() if line[:1] != "#")
    return {name: MethodCost(float(cost), what == "fit") for name, what, cost in rows}


def _docstring(file: Path) -> str:
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""


def method_reference(name: str) -> str:
    """Reference that tests check a method against, as its class says; empty: nothing."""
    return _constant(method_file(name), "reference") or ""


def _constant(file: Path, attribute: str) -> str | None:
    """Text that a file assigns to an attribute of a class; None where it assigns none."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case (
                ast.Assign(targets=[ast.Name(known)], value=ast.Constant(str(text)))
                | ast.AnnAssign(target=ast.Name(known), value=ast.Constant(str(text)))
            ) if known == attribute:
                return text
    return None


def _starts_from(file: Path, shared: Iterable[Path]) -> str:
    """Method that a method's file, or else the code that it shares, names as its start; empty: none."""
    named = (_constant(path, "starts_from") for path in (file, *shared))
    return next((name for name in named if name is not None), "")


def method_shared_files(name: str) -> list[Path]:
    """Files of the code that a method shares with others."""
    file = method_file(name)
    with _readable(name, file):
        return shared_files(file, module=method_modules()[name])


def method_start(name: str) -> str:
    """Method whose source stage a method begins with, by its file, which is not imported; empty: its own."""
    file, shared = method_file(name), method_shared_files(name)
    with _readable(name, file):
        return _starts_from(file, shared)


def method_digest(name: str) -> str:
    """Digest of the method's code and of the releases of other packages that it imports.

    Its code is its file, what it shares with others, and what it starts from.
    """
    code = _code(name)
    return combine(code.digest, library_versions(*code.packages)) if code.packages else code.digest


def method_code(name: str) -> str:
    """Digest of the method's code alone, which is the same whatever is installed."""
    return _code(name).digest


def method_packages(name: str) -> list[str]:
    """Installed packages that a method computes with, beside those that all numbers depend on."""
    return _code(name).packages


class _Code(NamedTuple):
    """Digest of a method's code, and the packages that it imports."""

    digest: str
    packages: list[str]


def _code(name: str) -> _Code:
    file, shared = method_file(name), method_shared_files(name)
    with _readable(name, file):
        own = combine(*map(file_digest, [file, *shared])) if shared else file_digest(file)
        packages = imported_packages([file, *shared], method_modules()[name])
        start = _starts_from(file, shared)
    if not start:
        return _Code(own, packages)
    first = _code(start)
    return _Code(combine(own, first.digest), sorted({*packages, *first.packages}))


@contextlib.contextmanager
def _readable(name: str, file: Path) -> Iterator[None]:
    """Turn what is no Python file into a `UserError`."""
    try:
        yield
    except (OSError, ValueError, SyntaxError, RecursionError) as error:
        raise UserError(f"method '{name}' ({file}) cannot be read: {_cause(error, file)}") from None


def _cause(error: BaseException, file: Path | None) -> str:
    """Name an error, its first line and the line of a file that it came from."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    place = place_in(error, file)
    return ": ".join(filter(None, [type(error).__name__, *text.splitlines()[:1]])) + (
        f" ({place})" if place else ""
    )


@cache
def load_method(name: str) -> type[Method]:
    """Load the method's class. The first call imports torch."""
    from bench.method.base import Method

    file = method_file(name)
    try:
        module = importlib.import_module(method_modules()[name])
    except (Exception, SystemExit) as error:
        raise UserError(f"method '{name}' ({file}) cannot be imported: {_cause(error, file)}") from error
    found = [
        item
        for item in vars(module).values()
        if inspect.isclass(item) and issubclass(item, Method) and item.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise UserError(f"{module.__file__} must define one Method class, not {len(found)}")
    start = found[0].starts_from
    if start != method_start(name):
        # Its digest, which is made without importing, would not change with the method that it starts from.
        raise UserError(f"method '{name}' ({file}): name its start in its class: starts_from = \"{start}\"")
    return found[0]


def configure(name: str, overrides: dict[str, Value], recipe: Recipe = USUAL) -> Method:
    """Make a method with these hyperparameters, and with a recipe's rates where it has no others.

    Raises:
        UserError: an unknown hyperparameter, one of a wrong type, or one out of its bounds.
    """
    from pydantic import TypeAdapter, ValidationError

    from bench.method.base import recipe_rates

    cls = load_method(name)
    for key, value in overrides.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{name}.{key}: a finite number, not {value}")
        check_name(f"hyperparameter of {name}", key, [field.name for field in fields(cls)])  # type: ignore[arg-type]
    try:
        method: Method = TypeAdapter(cls).validate_python({**recipe_rates(cls, recipe), **overrides})
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{name}.{first['loc'][0]}: {first['msg']}, not {first['input']!r}") from None
    check_bounds(name, method)
    return method


def control_of(name: str) -> Control | None:
    """Control that a method declares, its hyperparameters as cells have them; None: none.

    Raises:
        UserError: the method cannot be loaded, or has no such hyperparameters.
    """
    control = load_method(name).control
    return control if isinstance(control, str) else explicit(name, control or {}) or None


def search_space(name: str, recipe: Recipe = USUAL) -> dict[str, dict[str, Any]]:
    """Ranges of the hyperparameters that can be searched: `low`, `high`, `log`, and the `default`."""
    cls, default = load_method(name), configure(name, {}, recipe)
    return {
        field.name: {**field.metadata, "default": getattr(default, field.name)}
        for field in fields(cls)  # type: ignore[arg-type]
        if "low" in field.metadata
    }


def preset(name: str, which: str | None) -> dict[str, Value]:
    """Hyperparameters of a method by a preset; none where it keeps its defaults, or cannot be loaded."""
    with contextlib.suppress(UserError):
        return dict(load_method(name).presets.get(which, {})) if which else {}
    return {}


def hyperparameters(method: Method) -> dict[str, Any]:
    """Values of all hyperparameters, by name."""
    return {field.name: getattr(method, field.name) for field in fields(method)}  # type: ignore[arg-type]


def explicit(name: str, overrides: dict[str, Value], recipe: Recipe = USUAL) -> dict[str, Value]:
    """Overrides that differ from the method's defaults, so that equal questions get equal keys."""
    if not overrides:
        return {}
    wanted, default = (hyperparameters(configure(name, chosen, recipe)) for chosen in (overrides, {}))
    return {key: wanted[key] for key in sorted(overrides) if wanted[key] != default[key]}
