"""`bench history` and `bench history add`: accuracy and speed over revisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console

from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.core.text import counted, printable
from bench.core.version import commit, git
from bench.records.baselines import open_results
from bench.report.history.collect import from_benchmarks, from_records
from bench.report.history.history import FOLDER, History
from bench.report.history.measurement import Key, Measurement
from bench.report.history.page import render, terminal_table
from bench.report.history.series import series
from bench.report.tables.formats import listed


def add(sources: Sequence[str], revision: str | None) -> None:
    """Add lines from results folders, baselines or files of benchmarks.

    Raises:
        UserError: a source cannot be read, or several have a line each in one place.
    """
    name = revision and (commit(revision) or revision)
    origins: dict[Key, str] = {}
    lines: list[Measurement] = []
    for source in sources:
        for line in _measured(source, name):
            # One of them would take the other's place.
            if origins.setdefault(line.key, source) != source:
                raise UserError(
                    f"'{origins[line.key]}' and '{source}' are both {_place(line)}: make one of them "
                    "(bench results merge), or add one alone"
                )
            lines.append(line)
    book = History()
    before = {line.key: line for line in book.measurements}
    written = book.add([_dated(line) for line in lines])
    _warn(book)
    for line in lines:
        if (old := before.get(line.key)) and (gone := sorted(old.entries.keys() - line.entries.keys())):
            click.echo(
                printable(f"warning: the line before of {_place(line)} had {listed(gone)} too"), err=True
            )
    click.echo(f"{FOLDER}: {counted(len(lines), 'line')}, {counted(written, 'file')} changed")


def _measured(source: str, revision: str | None) -> list[Measurement]:
    """Lines of one source."""
    if Path(source).suffix == ".json":
        return [from_benchmarks(Path(source), revision)]
    store = open_results(source)
    lines = from_records(store, revision)
    for path, reason in store.unreadable.items():
        click.echo(printable(f"warning: left out {path}: {reason}"), err=True)
    if not lines:
        raise UserError(f"no record in '{source}' can be read: run the suite again")
    return lines


def _place(line: Measurement) -> str:
    """Place of a line in the history, in words."""
    return f"of suite {line.suite}, revision {line.revision[:10]}, of one machine and setting"


def _dated(line: Measurement) -> Measurement:
    """Date a line by its revision, where that is a commit here: a history may be measured backwards."""
    known = not line.revision.endswith("+") and commit(line.revision)
    date = git("show", "-s", "--format=%cI", known).decode().strip() if known else ""
    return line.model_copy(update={"date": datetime.fromisoformat(date)}) if date else line


def show(out: str | None) -> None:
    """Print the history, and write its page."""
    book = History()
    _warn(book)
    rows = series(book.measurements)
    Console().print(terminal_table(rows))
    page = Path(out) if out else FOLDER / "history.html"
    damaged = [f"{place}: {reason}" for place, reason in book.unreadable.items()]
    try:
        write_atomically(page, render(rows, damaged).encode())
    except OSError as error:
        raise UserError(f"cannot write '{page}': {error.strerror or error}") from None
    click.echo(f"history: {page}")


def _warn(book: History) -> None:
    for place, reason in book.unreadable.items():
        click.echo(printable(f"warning: unreadable line {place}: {reason}"), err=True)
