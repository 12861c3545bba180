"""`bench baseline save | list | rm`: records that are committed, to compare with."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.commands.results.asked import carry
from bench.commands.results.folder import latest_folder
from bench.core.text import counted, printable
from bench.records import baselines
from bench.records.store import Store


def save(name: str, results: str | None) -> None:
    """Save a results folder, by default the one written last, as a baseline."""
    store = Store(results) if results else Store(latest_folder())
    target = baselines.save(store, name)
    carry(store, target)
    for path, reason in store.unreadable.items():
        click.echo(printable(f"warning: left out {path}: {reason}"), err=True)
    size = baselines.size(name)
    click.echo(f"{target}: {counted(len(Store(target).keys()), 'record')}, {size / 1e6:.1f} MB")
    if size > baselines.LARGEST:
        click.echo(f"warning: over {baselines.LARGEST / 1e6:.0f} MB, much for a repository", err=True)


def show() -> None:
    """Print the saved baselines."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("baseline", "suites", "records", "methods", "MB", "revisions"):
        table.add_column(column, no_wrap=column == "baseline", overflow="fold")
    for name in baselines.names():
        records = list(Store(baselines.BASELINES / name).records())
        row = (
            name,
            ", ".join(sorted({record.request.suite for record in records})),
            str(len(records)),
            str(len({record.request.cell.method for record in records})),
            f"{baselines.size(name) / 1e6:.1f}",
            ", ".join(sorted({(record.environment.git_revision or "unknown")[:10] for record in records})),
        )
        table.add_row(*map(Text, row))
    Console().print(table if table.row_count else "no baselines yet: bench baseline save NAME")


def remove(name: str) -> None:
    """Remove a saved baseline."""
    baselines.remove(name)
    folder = baselines.BASELINES / name
    left = " (other files in it stay)" if folder.exists() else ""
    click.echo(f"removed {folder}{left}")
