"""Maintenance of results folders: check every file, merge folders, remove files without a reference.

Each verb takes the lease of a cell before it touches its files, reads again what it has judged, and touches
nothing else; so it may run beside anything that writes records.
"""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import UserError
from bench.core.files import read_bounded, sync_folder, write_atomically
from bench.records.codec import LARGEST, Damaged, decode
from bench.records.leases import OLD_FOLDER, Leases
from bench.records.record import Predictions, Record
from bench.records.status_cache import OLD_FILES
from bench.records.store import LARGEST_PREDICTIONS, Store, sha256

RECENT = 3600.0
"""Seconds for which files that nothing refers to are spared: their writer may be about to refer to them."""

NO_PREDICTIONS = "it says done, but has no predictions"


@dataclass(frozen=True)
class Fault:
    """Damaged or misplaced file of a results folder, and the reason."""

    path: Path
    reason: str
    version: str | None = None
    """Digest of the content that was judged; None where it could not be read, which is no damage."""


def check(store: Store) -> tuple[int, list[Fault]]:
    """Count the records that are whole, predictions included, and list the faults of the others."""
    sound, faults = 0, []
    for path in store.files():
        try:
            fault = _judge(store, path)
        except FileNotFoundError:
            continue
        if fault is None:
            sound += 1
        else:
            faults.append(fault)
    # An archive that cannot be opened has no records to go through.
    listed = {fault.path for fault in faults}
    faults += [Fault(path, reason) for path, reason in store.unreadable.items() if path not in listed]
    return sound, faults


def _judge(store: Store, path: Path) -> Fault | None:
    """Find the fault of a record's file or of its predictions; raises `FileNotFoundError` if it went away."""
    key, own = path.stem, path == store.path(path.stem)
    try:
        content = store.content(key) if own else read_bounded(path, LARGEST)
    except FileNotFoundError:
        raise
    except OSError as error:
        return Fault(path, str(error))
    version = sha256(content)
    if not own:
        return Fault(path, "lies where no record of its name belongs", version)
    try:
        record = decode(content)
        if record.key != key:
            return Fault(path, f"holds the record of {record.key}", version)
        if not store.own_predictions(record) and record.done:
            raise Damaged(NO_PREDICTIONS)
    except Damaged as error:
        return Fault(path, str(error), version)
    except OSError as error:
        reason = f"its predictions: {str(error).replace(f'{path.parent}{os.sep}', '')}"
        missing = isinstance(error, FileNotFoundError)
        return Fault(path, reason, version if missing or error.errno is None else None)
    return None


def quarantine(store: Store, fault: Fault) -> tuple[Fault | None, bool]:
    """Move a faulty record to `quarantine/`, with the reason and a copy of its predictions beside it.

    Returns the fault as it is now, None if there is none any more, and whether it was moved. What cannot be
    read, or belongs to a cell that another process works on, stays where it is.

    Raises:
        OSError: the folder cannot be written.
    """
    if fault.version is None:
        return fault, False
    with Leases(store.root).holding(fault.path.stem) as held:
        try:
            now = _judge(store, fault.path)
        except FileNotFoundError:
            return None, False
        if now is None or now.version is None:
            return now, False
        if not held:
            return Fault(now.path, f"{now.reason} (another process works on it: it stays)"), False
        _move(store.root / "quarantine", now)
        return now, True


def _move(folder: Path, fault: Fault) -> None:
    key, number = fault.path.stem, 1
    stem = key
    while (folder / f"{stem}.json").exists():
        number += 1
        stem = f"{key}-{number}"
    # A copy: predictions that another process has just written stay where its record will expect them.
    for path in sorted(fault.path.parent.glob(f"{glob.escape(key)}.*safetensors")):
        # Damaged ones may be no files at all.
        if path.is_file():
            write_atomically(
                folder / path.name.replace(key, stem, 1), read_bounded(path, LARGEST_PREDICTIONS)
            )
    write_atomically(folder / f"{stem}.txt", f"{fault.path}: {fault.reason}\n".encode())
    moved = folder / f"{stem}.json"
    fault.path.rename(moved)
    sync_folder(folder)
    if sha256(read_bounded(moved, LARGEST)) != fault.version:
        # A process that had lost its lease has stored another record in this moment.
        with contextlib.suppress(FileExistsError):
            os.link(moved, fault.path)
            moved.unlink()


def merge(into: Store, other: Store) -> tuple[Counter[str], list[str]]:
    """Add the records of another folder; where both have a record, the first that is done and whole stays.

    Returns counts of added, mended, kept, busy and damaged records, and a line for each that was left out.
    Mended are those that were here, damaged: they go to `quarantine/`.

    Raises:
        OSError: the folder cannot be written any more; what is added is whole.
    """
    counts: Counter[str] = Counter()
    messages = []
    for path in other.files():
        key = path.stem
        try:
            outcome = _merge(into, other, path)
        except Damaged as error:
            outcome = "damaged"
            messages.append(f"left out {key}: {error}")
        if outcome == "busy":
            messages.append(f"left out {key}: another process works on it")
        counts[outcome] += 1
    # A folder or an archive that cannot be listed has records that nobody has gone through.
    unlisted = {path: reason for path, reason in other.unreadable.items() if path.suffix != ".json"}
    counts["damaged"] += len(unlisted)
    messages += [f"left out {path}: {reason}" for path, reason in unlisted.items()]
    return counts, messages


def _merge(into: Store, other: Store, path: Path) -> str:
    record = other.read(path.stem)
    if record is None:
        raise Damaged(other.unreadable.get(path, "it went away"))
    return add(into, record, other.predictions)


def add(into: Store, record: Record, predictions_of: Callable[[Record], Predictions]) -> str:
    """Add a record from elsewhere unless one that is done and whole is here; what came of it, in a word.

    `added`, `mended` where a damaged one was here, `kept`, or `busy` while another process works on the cell.

    Raises:
        Damaged: it is, or the one that is here cannot be read and may be whole.
        OSError: the folder cannot be written.
    """
    key = record.key
    with Leases(into.root).holding(key) as held:
        if not held:
            return "busy"
        present = into.read(key)
        fault = _judge(into, into.path(key)) if present and present.done and record.done else None
        if present and not fault and (present.done or not record.done):
            return "kept"
        if fault and not fault.version:
            raise Damaged(f"the one that is here: {fault.reason}")
        try:
            predictions = predictions_of(record)
        except OSError as error:
            raise Damaged(str(error)) from None
        if record.done and not predictions:
            raise Damaged(NO_PREDICTIONS)
        if fault:
            _move(into.root / "quarantine", fault)
        into.write(record, predictions)
    return "mended" if fault else "added"


def collect(store: Store, versions: bool = False) -> tuple[int, int]:
    """Remove predictions without their record, what killed processes left, and caches of earlier versions.

    Returns the number of files and of bytes. Files of a record that cannot be read stay for `check`, and what
    is younger than `RECENT` for its writer. With `versions`, those of all records go too.

    Raises:
        UserError: a process works on the folder.
        OSError: the folder cannot be written.
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
    removed = _Removed(_now(store.root))
    for path in _temporary(store.root):
        removed.remove(path)
    for name in OLD_FILES:
        removed.remove(store.root / "records" / name, recent=True)
    candidates: dict[str, list[Path]] = defaultdict(list)
    for key, path in _files_of_cells(store):
        if removed.is_old(path) and _unreferred(store, key, path):
            candidates[key].append(path)
    leases = Leases(store.root)
    for key, paths in candidates.items():
        with leases.holding(key) as held:
            for path in paths:
                if held and _unreferred(store, key, path):
                    removed.remove(path)
    for key in store.versions.keys() if versions else ():
        with leases.holding(key) as held:
            for path in store.versions.files(key) if held else ():
                removed.remove(path, recent=True)
    for folder in (
        *store.root.glob("records/??"),
        *store.versions.folder.glob("*"),
        store.versions.folder,
        old.folder,
    ):
        # Those that are not empty stay.
        with contextlib.suppress(OSError):
            folder.rmdir()
    return removed.files, removed.size


class _Removed:
    """Files that were removed, unless they were recent."""

    def __init__(self, now: float) -> None:
        self.files = self.size = 0
        self._now = now

    def is_old(self, path: Path) -> bool:
        """Return True if a file is there and nobody has written to it recently."""
        try:
            return self._now - path.lstat().st_mtime > RECENT
        except FileNotFoundError:
            return False

    def remove(self, path: Path, recent: bool = False) -> None:
        """Remove a file if it is old, or `recent` too."""
        with contextlib.suppress(FileNotFoundError):
            if recent or self.is_old(path):
                size = path.lstat().st_size
                path.unlink()
                self.files, self.size = self.files + 1, self.size + size


def _now(root: Path) -> float:
    """Time by the clock of the folder's disk, which need not be this host's."""
    with tempfile.NamedTemporaryFile(dir=root, prefix=".tmp-") as file:
        return os.fstat(file.fileno()).st_mtime


def _temporary(root: Path) -> Iterator[Path]:
    for pattern in (".tmp-*", "*/.tmp-*", "*/*/.tmp-*"):
        yield from (path for path in root.glob(pattern) if not path.is_dir())


def _files_of_cells(store: Store) -> Iterator[tuple[str, Path]]:
    """Files that a cell's record, or one of its versions, may refer to, with its key."""
    for path in sorted(store.root.glob("records/??/[!.]*.safetensors")):
        yield path.name.split(".")[0], path
    for path in sorted(store.root.glob("checkpoints/[!.]*")):
        yield path.name.split("-")[0], path
    for path in sorted(store.versions.folder.glob("*/[!.]*.safetensors")):
        yield path.parent.name, path


def _unreferred(store: Store, key: str, path: Path) -> bool:
    """Return True if no record refers to a file, as far as all can be read."""
    if path.parent.parent == store.versions.folder:
        return path in store.versions.left_over(key)
    there = store.path(key).exists()
    if path.parent.name == "checkpoints":
        return there
    record = store.read(key)
    return not there if record is None else path != store.predictions_path(record)
