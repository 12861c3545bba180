"""`bench compare`: regressions and improvements between two sets of records."""

from __future__ import annotations

from pathlib import Path

import click
from pydantic import ValidationError

from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.core.text import printable
from bench.records.baselines import open_results
from bench.records.store import Store
from bench.report.regression import gate
from bench.report.regression.compare import NothingInCommon
from bench.report.regression.compare import compare as compare_stores
from bench.spec.matrix.suite import Gate, load_suite, suite_names
from bench.spec.toml import describe

WRITERS = {".html": gate.html, ".json": gate.as_json, ".md": gate.markdown}


def compare(
    base: str, new: str, max_accuracy_drop: float | None, max_slowdown: float | None, out: tuple[str, ...]
) -> int:
    """Print the summary and write files; returns the exit code: 1 where something regressed."""
    for name in out:
        if Path(name).suffix not in WRITERS:
            raise UserError(f"--out takes a file that ends in {', '.join(WRITERS)}, not '{name}'")
    stores = open_results(base), open_results(new)
    try:
        comparison = compare_stores(*stores)
    except NothingInCommon:
        raise UserError(f"'{base}' and '{new}' have no cell in common: compare two runs of a suite") from None
    for store in stores:
        for path, reason in store.unreadable.items():
            click.echo(printable(f"warning: unreadable record {path}: {reason}"), err=True)
    given = {"max_accuracy_drop": max_accuracy_drop, "max_slowdown": max_slowdown}
    limits = _gate(stores[0], {name: limit for name, limit in given.items() if limit is not None})
    regressed = gate.regressions(comparison, limits)
    # What the new side lacks is gone; of what the base lacks nothing would be said.
    damaged = stores[0].unreadable.items()
    regressed += [f"{path}: of the base, which cannot be compared with: {reason}" for path, reason in damaged]
    click.echo(gate.markdown(comparison, regressed), nl=False)
    for name in out:
        try:
            write_atomically(Path(name), WRITERS[Path(name).suffix](comparison, regressed).encode())
        except OSError as error:
            raise UserError(f"cannot write '{name}': {error.strerror or error}") from None
    return 1 if regressed else 0


def _gate(store: Store, given: dict[str, float]) -> Gate:
    """Gate of the packaged suite that all records belong to, else the default gate; with given limits.

    Raises:
        UserError: a limit is out of range.
    """
    suites = {record.request.suite for record in store.records()}
    name = suites.pop() if len(suites) == 1 else ""
    usual = load_suite(name).gate if name in suite_names() else Gate()
    try:
        return Gate(**{**usual.model_dump(), **given})
    except ValidationError as error:
        raise UserError(f"limits: {describe(error, Gate)}") from None
