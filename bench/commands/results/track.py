"""`bench track`: records into an experiment tracker."""

from __future__ import annotations

import click

from bench.commands.results.folder import open_named_or_latest
from bench.core.text import counted
from bench.report.scores.frame import load_frame
from bench.report.scores.runs import runs
from bench.report.trackers import writer


def track(tracker: str, results: str | None, to: str | None) -> None:
    """Write the done cells of a results folder, by default the one written last, as runs."""
    write = writer(tracker)
    store = open_named_or_latest(results)
    frame = load_frame(store)
    done = list(runs(frame))
    where = write(done, to)
    rest = len(frame) - len(done)
    more = f", {counted(rest, 'cell')} not done left out" if rest else ""
    click.echo(f"{counted(len(done), 'run')}{more}: {where}")
