"""Looking after a results folder: check every file, unite folders, remove what nothing refers to."""

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
from bench.records.leases import Leases
from bench.records.record import Record
from bench.records.store import Store


@dataclass(frozen=True)
class Fault:
    """A file that is not what it should be, and why."""

    path: Path
    reason: str


def check(store: Store) -> tuple[int, list[Fault]]:
    """How many records are whole, predictions included; and the faults of the others."""
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
    known = {fault.path for fault in faults}
    faults += [Fault(path, why) for path, why in store.unreadable.items() if path not in known]
    return sound, faults


def quarantine(store: Store, fault: Fault) -> Path:
    """Move a faulty record and its predictions out of the way, with the reason beside them."""
    folder = store.root / "quarantine"
    write_atomically(folder / f"{fault.path.stem}.txt", f"{fault.path}: {fault.reason}\n".encode())
    for path in sorted(fault.path.parent.glob(f"{glob.escape(fault.path.stem)}.*")):
        shutil.move(path, folder / path.name)
    return folder / fault.path.name


def merge(into: Store, other: Store) -> tuple[Counter[str], list[str]]:
    """Add the records of another folder; which of them were added, kept, busy or damaged, and what of.

    Where both have one, the first that is done stays. The other folder stays as it is.
    """
    claims = Leases(into.root)
    counts: Counter[str] = Counter()
    said = []
    for path in other.files():
        key = path.stem
        record = other.read(key)
        if record is None:
            counts["damaged"] += 1
            said.append(f"left out {key}: {other.unreadable.get(path, 'it went away')}")
            continue
        with claims.holding(key) as held:
            seen, mine = into.version(key), into.read(key)
            if not held:
                counts["busy"] += 1
                said.append(f"left out {key}: another process works on it")
            elif mine is not None and not (_done(record) and not _done(mine)):
                counts["kept"] += 1
            else:
                try:
                    into.write(record, other.predictions(record), seen)
                    counts["added"] += 1
                except OSError as error:
                    counts["damaged"] += 1
                    said.append(f"left out {key}: {error}")
    return counts, said


def collect(store: Store) -> tuple[int, int]:
    """Remove what nothing refers to: predictions without their record, what killed processes left.

    Returns files and bytes. What belongs to a record that cannot be read stays: `check` is about those.

    Raises:
        UserError: somebody works on the folder.
    """
    if busy := Leases(store.root).others():
        raise UserError(
            f"'{store.root}' is worked on ({len(busy)} cells are claimed): try again when nothing runs. "
            "Claims of processes that died on other hosts expire after a minute of a run's looking at them"
        )
    files = size = 0
    for path in _unreferred(store):
        size += path.stat().st_size
        files += 1
        path.unlink()
    for folder in sorted(store.root.glob("records/??")):
        if not any(folder.iterdir()):
            folder.rmdir()
    return files, size


def _unreferred(store: Store) -> Iterator[Path]:
    whole = {path.stem: store.read(path.stem) for path in store.files()}
    wanted = {store.predictions_path(record) for record in whole.values() if record}
    for path in sorted(
        [*store.root.glob(".tmp-*"), *store.root.glob("records/**/*"), *store.root.glob("checkpoints/*")]
    ):
        if path.name.startswith(".tmp-"):
            yield path
        elif path.parent.name == "checkpoints":
            if path.name.split("-")[0] in whole:
                yield path
        elif path.suffix == ".safetensors" and path not in wanted:
            key = path.name.split(".")[0]
            if key not in whole or whole[key] is not None:
                yield path


def _done(record: Record) -> bool:
    return record.outcome.status == "done"


def _without(folder: Path, error: OSError) -> str:
    return str(error).replace(f"{folder}{os.sep}", "")
