"""`bench results verify | merge | gc | versions | restore`: maintenance of results folders."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.commands.data.cache import megabytes
from bench.commands.progress import test_accuracy
from bench.commands.results.folder import latest_folder, open_named_or_latest
from bench.core.errors import UserError, check_name
from bench.core.modalities import MODALITIES
from bench.core.text import counted, printable
from bench.data.catalog import load_card
from bench.data.dataset import open_dataset
from bench.engine.cell.digests import present_digests
from bench.executors.queue import cannot_write
from bench.method.registry import method_digest
from bench.records import maintenance
from bench.records.baselines import open_results
from bench.records.codec import Damaged, decode
from bench.records.leases import Leases
from bench.records.record import Record
from bench.records.store import Store


def verify(results: str | None) -> int:
    """Check a results folder or a baseline, and move damaged files into quarantine; returns 1 if any is."""
    store = open_named_or_latest(results)
    sound, faults = maintenance.check(store)
    damaged = moved = 0
    for fault in faults:
        now, was_moved = (fault, False) if store.read_only else _quarantine(store, fault)
        moved += was_moved
        if now:
            damaged += 1
            click.echo(printable(f"damaged: {now.path}: {now.reason}"), err=True)
        else:
            sound += 1
    whole = f"{counted(sound, 'record')} {'is' if sound == 1 else 'are'} whole"
    click.echo(f"{store.root}: {whole}, {damaged} damaged")
    if moved:
        click.echo(
            f"the damaged ones are in '{store.root / 'quarantine'}': run the suite again to replace them"
        )
    return 1 if damaged else 0


def _quarantine(store: Store, fault: maintenance.Fault) -> tuple[maintenance.Fault | None, bool]:
    with writing(store):
        return maintenance.quarantine(store, fault)


@contextlib.contextmanager
def writing(store: Store) -> Iterator[None]:
    """Turn a failure to write into a results folder into one line."""
    try:
        yield
    except OSError as error:
        raise cannot_write(store.root, error) from None


def merge(into: str, others: tuple[str, ...]) -> int:
    """Add the records of other folders to one; returns 1 if some could not be added."""
    store = Store(into)
    left_out = 0
    for name in others:
        if Path(name).is_dir() and Path(name).resolve() == Path(into).resolve():
            raise UserError(f"'{name}' is the folder to merge into: name others")
        other = open_results(name)
        store.prepare()
        with writing(store):
            counts, refused = maintenance.merge(store, other)
        for line in refused:
            click.echo(printable(line), err=True)
        left_out += len(refused)
        click.echo(f"{name}: {added_and_kept(store, counts)}")
    return 1 if left_out else 0


def added_and_kept(store: Store, counts: Mapping[str, int]) -> str:
    """Line on what became of records that were added to a folder (`maintenance.add`)."""
    mended = counts["mended"]
    return f"{counts['added']} records added, {counts['kept']} were there" + (
        f", {mended} replaced damaged ones ('{store.root / 'quarantine'}')" if mended else ""
    )


def gc(results: str | None, versions: bool) -> int:
    """Remove files that no record refers to, and with `versions` what newer records have replaced.

    Returns 1 if some record could not be read, whose files stay.
    """
    store = _folder(results)
    with writing(store):
        files, size = maintenance.collect(store, versions)
    click.echo(f"{store.root}: removed {counted(files, 'file')}, {megabytes(size)}")
    for path, reason in store.unreadable.items():
        click.echo(printable(f"stays, with its files: {path}: {reason}"), err=True)
    return 1 if store.unreadable else 0


def versions(results: str, key: str | None) -> None:
    """Print the versions of each cell, or of one, beside its present record."""
    store = _folder(results)
    keys = store.versions.keys()
    if key is not None:
        check_name("cell with versions", key, keys)
        keys = [key]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("cell", "version", "created", "revision", "%", "what"):
        table.add_column(column, overflow="fold")
    for each in keys:
        for name, record in _versions(store, each):
            table.add_row(*map(Text, (printable(each), name, *_described(record))))
    Console().print(table if table.row_count else "no versions: nothing was replaced")


def _versions(store: Store, key: str) -> Iterator[tuple[str, Record | str]]:
    """Versions of a cell by name, oldest first: the record, or why it cannot be read."""
    for number in store.versions.numbers(key):
        try:
            yield str(number), decode(store.versions.content(key, number))
        except (OSError, Damaged) as error:
            yield str(number), str(error)
    present, attempt = store.read(key), store.versions.attempt(key)
    yield "present", present or store.unreadable.get(store.path(key), "none")
    if attempt:
        yield "attempt", attempt


def _described(record: Record | str) -> tuple[str, str, str, str]:
    if isinstance(record, str):
        return "", "", "", printable(record)
    accuracy = test_accuracy(record) if record.done else None
    what = record.request.cell.title if record.done else f"{record.outcome.status}: {record.outcome.reason}"
    revision = (record.environment.git_revision or "unknown")[:10]
    return record.created, revision, "" if accuracy is None else f"{100 * accuracy:.1f}", printable(what)


def restore(results: str, key: str, version: int) -> None:
    """Make a version of a cell its present record again; the present one becomes a version."""
    store = _folder(results)
    check_name("cell with versions", key, store.versions.keys())
    check_name(f"version of {key}", str(version), map(str, store.versions.numbers(key)))
    with writing(store), Leases(store.root).holding(key) as held:
        if not held:
            raise UserError(f"another process works on {key}: try again when it is done")
        try:
            record = store.restore(key, version)
        except (Damaged, FileNotFoundError) as error:
            raise UserError(f"version {version} of {key} cannot be restored: {error}") from None
    click.echo(f"restored {record.request.cell.title}, created {record.created}")
    if differences := _differences(record):
        others = ", ".join(f"other {name}" for name in differences)
        click.echo(f"it is stale ({others}): a run without --keep-stale replaces it")


def _differences(record: Record) -> list[str]:
    """Name what is other now than in a record, as far as its images and its method are here."""
    cell = record.request.cell
    try:
        dataset = open_dataset(load_card(cell.scenario.dataset), download=False)
        now = present_digests(dataset, method_digest(cell.method), [cell.backbone])
    except UserError:
        return []
    return record.digests.differences(now, MODALITIES[cell.modality].items)


def _folder(results: str | None) -> Store:
    store = Store(results or latest_folder())
    if not (store.root / "records").is_dir():
        raise UserError(f"no results folder '{store.root}': name one that a run has written")
    return store
