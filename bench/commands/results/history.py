"""`bench history` and `bench history add`: accuracy and speed over revisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console

from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.core.git import commit, git
from bench.core.text import counted, printable
from bench.records.baselines import open_results
from bench.report.history.collect import from_benchmarks, from_records
from bench.report.history.history import FOLDER, History
from bench.report.history.measurement import Measurement
from bench.report.history.page import render, terminal_table
from bench.report.history.series import series


def add(sources: Sequence[str], revision: str | None) -> None:
    """Add lines from results folders, baselines or files of benchmarks."""
    name = revision and (commit(revision) or revision)
    lines: list[Measurement] = []
    for source in sources:
        if Path(source).suffix == ".json":
            lines.append(from_benchmarks(Path(source), name))
            continue
        store = open_results(source)
        added = from_records(store, name)
        for path, reason in store.unreadable.items():
            click.echo(printable(f"warning: left out {path}: {reason}"), err=True)
        if not added:
            raise UserError(f"no record in '{source}' can be read: run the suite again")
        lines += added
    book = History()
    written = book.add([_dated(line) for line in lines])
    _warn(book)
    click.echo(f"{FOLDER}: {counted(len(lines), 'line')}, {counted(written, 'file')} changed")


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
