"""`bench results verify | merge | gc`: maintenance of results folders."""

from __future__ import annotations

from pathlib import Path

import click

from bench.commands.data.cache import megabytes
from bench.commands.results.folder import latest_folder, open_named_or_latest
from bench.core.errors import UserError
from bench.core.text import counted, printable
from bench.records import maintenance
from bench.records.baselines import open_results
from bench.records.store import Store


def verify(results: str | None) -> int:
    """Check a results folder or a baseline, and move damaged files into quarantine; returns 1 if any is."""
    store = open_named_or_latest(results)
    sound, faults = maintenance.check(store)
    for fault in faults:
        click.echo(printable(f"damaged: {fault.path}: {fault.reason}"), err=True)
        if not store.read_only:
            maintenance.quarantine(store, fault)
    whole = f"{counted(sound, 'record')} {'is' if sound == 1 else 'are'} whole"
    click.echo(f"{store.root}: {whole}, {len(faults)} damaged")
    if faults and not store.read_only:
        click.echo(
            f"the damaged ones are in '{store.root / 'quarantine'}': run the suite again to replace them"
        )
    return 1 if faults else 0


def merge(into: str, others: tuple[str, ...]) -> int:
    """Add the records of other folders to one; returns 1 if some could not be added."""
    store = Store(into)
    left_out = 0
    for name in others:
        if Path(name).is_dir() and Path(name).resolve() == Path(into).resolve():
            raise UserError(f"'{name}' is the folder to merge into: name others")
        other = open_results(name)
        store.prepare()
        counts, refused = maintenance.merge(store, other)
        for line in refused:
            click.echo(printable(line), err=True)
        left_out += len(refused)
        click.echo(f"{name}: {counts['added']} records added, {counts['kept']} were there")
    return 1 if left_out else 0


def gc(results: str | None) -> None:
    """Remove files that no record refers to."""
    store = Store(results or latest_folder())
    if not (store.root / "records").is_dir():
        raise UserError(f"no results folder '{store.root}': name one that a run has written")
    files, size = maintenance.collect(store)
    click.echo(f"{store.root}: removed {files} files, {megabytes(size)}")
