"""`bench export`: the report's tables and figures as files."""

from __future__ import annotations

from pathlib import Path

import click

from bench.commands.results.asked import asked
from bench.commands.results.folder import open_named_or_latest
from bench.commands.results.report import SOURCE_ALONE, check_published
from bench.core.errors import UserError
from bench.core.text import counted, printable
from bench.report.export.figures import FIGURE_FORMATS
from bench.report.export.formats import TABLE_FORMATS
from bench.report.export.writer import export as write
from bench.report.scores.frame import BASELINE, load_frame
from bench.report.tables.completeness import Completeness
from bench.report.tables.formats import listed


def export(folder: str, results: str | None, suite: str | None = None) -> None:
    """Write the tables and figures of a results folder, by default the one written last."""
    store = open_named_or_latest(results)
    found = asked(store, suite)
    check_published(store, found.cells)
    frame = load_frame(store, found.cells, others=True)
    baseline = found.suite.baseline if found.suite else BASELINE
    try:
        tables, figures = write(frame, Path(folder), baseline, SOURCE_ALONE)
    except OSError as error:
        raise UserError(f"cannot write to '{folder}': {error.strerror or error}") from None
    for path, reason in store.unreadable.items():
        click.echo(printable(f"warning: unreadable record {path}: {reason}"), err=True)
    for line in Completeness.of(frame).lines:
        click.echo(line)
    for count, kind, suffixes in ((tables, "table", TABLE_FORMATS), (figures, "figure", FIGURE_FORMATS)):
        click.echo(f"{Path(folder) / kind}s: {counted(count, kind)} as {listed([*suffixes])}")
