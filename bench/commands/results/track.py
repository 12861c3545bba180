"""`bench track`: records into an experiment tracker."""

from __future__ import annotations

import click

from bench.commands.results.report import latest
from bench.records.baselines import open_results
from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.scores.runs import runs
from bench.report.tables.formats import several
from report.trackers import writer


def track(tracker: str, results: str | None, to: str | None) -> None:
    """Write the done cells of a results folder, by default the one written last, as runs."""
    write = writer(tracker)
    store = open_results(results) if results else Store(latest())
    frame = load_frame(store)
    found = list(runs(frame))
    where = write(found, to)
    rest = len(frame) - len(found)
    more = f", {several(rest, 'cell')} not done left out" if rest else ""
    click.echo(f"{several(len(found), 'run')}{more}: {where}")
