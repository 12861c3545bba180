"""`bench.run`: a suite from Python."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.commands.experiments.run import RunOptions, carry_out
from bench.commands.experiments.run_plan import ExecutionOptions
from bench.commands.options import SuiteOptions, list_parts
from bench.commands.python.environment import refuse_imports, with_own_data
from bench.commands.python.results import Results
from bench.core.errors import UserError, check_name
from bench.core.paths import COLUMNS
from bench.data.objects import OwnData, as_own_data

MOST_WORKERS = 4096
LISTS = ("methods", "source", "target", "shots", "backbone", "seeds")
"""Options that take one value or several."""
NUMBERS = ("image_size", "steps")
OWN = (*COLUMNS, "modality")
"""Options that say what is in one's own table."""
OPTIONS = (*LISTS, *NUMBERS, *OWN, "controls", "set", "fresh", "retry_failed", "timeout")
"""Options of `run` beside those that it names, as of `bench run`."""


def run(
    suite: str | os.PathLike[str] | None,
    data: Any,
    workers: int | None,
    device: str,
    results: str | os.PathLike[str] | None,
    options: Mapping[str, Any],
) -> Results:
    """Run what is missing of a suite; see `bench.run`."""
    refuse_imports()
    for name in options:
        check_name("option of bench.run", name, OPTIONS)
    if suite is None and data is None:
        raise UserError("say which suite, as bench.run('quick'), or hand over your own items: data=...")
    known = {name: value for name, value in options.items() if value is not None}
    own = _own_data(data, known)
    with with_own_data(own):
        plan, _ = carry_out(
            RunOptions(
                selection=_selection(None if suite is None else os.fspath(suite), known),
                execution=ExecutionOptions(
                    device=device, workers=_count("workers", workers), timeout=known.get("timeout")
                ),
                results=None if results is None else os.path.expanduser(results),
                plan_only=False,
                simulate=None,
                fresh=bool(known.get("fresh")),
                retry_failed=bool(known.get("retry_failed")),
                keep_stale=False,
                cell=None,
            )
        )
    return Results(Path(plan.store.root), plan.suite.baseline, tuple(plan.cells), own)


def _own_data(data: Any, options: Mapping[str, Any]) -> OwnData | None:
    """One's own items, and what is said of their columns."""
    said = {name: options[name] for name in OWN if name in options}
    for name, value in said.items():
        if not isinstance(value, str) or not value:
            raise UserError(f"{name} takes a text, not {str(value)[:40]!r}")
        if data is None:
            raise UserError(f"{name} = '{value}' says what is in your own table: name it with data=...")
    if data is None:
        return None
    modality = said.pop("modality", None)
    return as_own_data(data, said, modality)


def _selection(suite: str | None, options: Mapping[str, Any]) -> SuiteOptions:
    """Options of a suite, as the command line would have them."""
    lists: dict[str, Any] = {name: _texts(name, options[name]) for name in LISTS if name in options}
    numbers: dict[str, Any] = {name: _count(name, options[name]) for name in NUMBERS if name in options}
    return SuiteOptions(
        suite=suite, controls=options.get("controls"), sets=_sets(options.get("set", {})), **lists, **numbers
    )


def _texts(name: str, value: Any) -> list[str]:
    """One value, values with commas, or several, as texts."""
    if isinstance(value, str):
        return list_parts(name, [value])
    if isinstance(value, int):
        return [str(value)]
    if not isinstance(value, Iterable):
        raise UserError(f"{name} takes a text or a list of them, not a {type(value).__name__}")
    return list_parts(name, map(str, value))


def _count(name: str, value: Any) -> int | None:
    """A positive whole number, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10_000_000:
        raise UserError(f"{name} takes a whole number from 1 on, not {str(value)[:40]!r}")
    if name == "workers" and value > MOST_WORKERS:
        raise UserError(f"workers: at most {MOST_WORKERS}, not {value}")
    return value


def _sets(hyperparameters: Any) -> list[str]:
    """Hyperparameters `{method: {name: value}}` as `--set` takes them."""
    if not isinstance(hyperparameters, Mapping) or not all(
        isinstance(values, Mapping) for values in hyperparameters.values()
    ):
        raise UserError("set takes {'method': {'hyperparameter': value}}")
    return [
        f"{method}.{name}={json.dumps(value)}"
        for method, values in hyperparameters.items()
        for name, value in values.items()
    ]
