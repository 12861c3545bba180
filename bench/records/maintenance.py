"""Maintenance of results folders: check every file, merge folders, remove files without a reference."""

from __future__ import annotations

import glob
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.records.leases import OLD_FOLDER, Leases
from bench.records.record import Record
from bench.records.status_cache import OLD_FILE
from bench.records.store import Store


@dataclass(frozen=True)
class Fault:
    """Damaged or misplaced file of a results folder, and the reason."""

    path: Path
    reason: str


def check(store: Store) -> tuple[int, list[Fault]]:
    """Count the records that are whole, predictions included, and list the faults of the others."""
    sound, faults = 0, []
    for path in store.files():
        if path != store.path(path.stem):
            faults.append(Fault(path, "lies where no record of its name belongs"))
            continue
        record = store.read(path.stem)
        if record is None:
            faults.append(Fault(path, store.unreadable.get(path, "went away")))
            continue
        try:
            store.predictions(record)
            sound += 1
        except OSError as error:
            faults.append(Fault(path, f"its predictions: {_without(path.parent, error)}"))
    # An archive that cannot be opened has no records to go through.
    listed = {fault.path for fault in faults}
    faults += [Fault(path, reason) for path, reason in store.unreadable.items() if path not in listed]
    return sound, faults


def quarantine(store: Store, fault: Fault) -> Path:
    """Move a faulty record and its predictions to `quarantine/`, with the reason beside them."""
    folder = store.root / "quarantine"
    write_atomically(folder / f"{fault.path.stem}.txt", f"{fault.path}: {fault.reason}\n".encode())
    for path in sorted(fault.path.parent.glob(f"{glob.escape(fault.path.stem)}.*")):
        shutil.move(path, folder / path.name)
    return folder / fault.path.name


def merge(into: Store, other: Store) -> tuple[Counter[str], list[str]]:
    """Add the records of another folder; where both have a record, the first that is done stays.

    Returns counts of added, kept, busy and damaged records, and a line for each that was left out.
    """
    leases = Leases(into.root)
    counts: Counter[str] = Counter()
    messages = []
    for path in other.files():
        key = path.stem
        record = other.read(key)
        if record is None:
            counts["damaged"] += 1
            messages.append(f"left out {key}: {other.unreadable.get(path, 'it went away')}")
            continue
        with leases.holding(key) as held:
            seen, present = into.version(key), into.read(key)
            if not held:
                counts["busy"] += 1
                messages.append(f"left out {key}: another process works on it")
            elif present is not None and not (_done(record) and not _done(present)):
                counts["kept"] += 1
            else:
                try:
                    into.write(record, other.predictions(record), seen)
                    counts["added"] += 1
                except OSError as error:
                    counts["damaged"] += 1
                    messages.append(f"left out {key}: {error}")
    return counts, messages


def collect(store: Store) -> tuple[int, int]:
    """Remove predictions without their record, what killed processes left, and caches of earlier versions.

    Returns the number of files and of bytes. Files of a record that cannot be read stay for `check`.

    Raises:
        UserError: a process works on the folder.
    """
    if busy := Leases(store.root).others():
        raise UserError(
            f"'{store.root}' is worked on ({len(busy)} cells are leased): try again when nothing runs. "
            "Leases of processes that died on other hosts expire after a minute of a run's looking at them"
        )
    old = Leases(store.root, folder=OLD_FOLDER)
    if busy := old.others():
        raise UserError(
            f"'{store.root}' is worked on by an earlier version of this program ({len(busy)} cells): "
            f"try again when nothing runs, or delete '{old.folder}' if nothing does"
        )
    files = size = 0
    for path in _unreferred(store):
        size += path.stat().st_size
        files += 1
        path.unlink()
    for folder in (*sorted(store.root.glob("records/??")), old.folder):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return files, size


def _unreferred(store: Store) -> Iterator[Path]:
    records = {path.stem: store.read(path.stem) for path in store.files()}
    referred = {store.predictions_path(record) for record in records.values() if record}
    for path in sorted(
        [*store.root.glob(".tmp-*"), *store.root.glob("records/**/*"), *store.root.glob("checkpoints/*")]
    ):
        if path.name.startswith(".tmp-") or path == store.root / "records" / OLD_FILE:
            yield path
        elif path.parent.name == "checkpoints":
            if path.name.split("-")[0] in records:
                yield path
        elif path.suffix == ".safetensors" and path not in referred:
            key = path.name.split(".")[0]
            if key not in records or records[key] is not None:
                yield path


def _done(record: Record) -> bool:
    return record.outcome.status == "done"


def _without(folder: Path, error: OSError) -> str:
    return str(error).replace(f"{folder}{os.sep}", "")
