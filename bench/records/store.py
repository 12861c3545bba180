"""Store of records on disk: whole or absent, one file each, predictions beside them.

Layout: `<root>/records/<first two digits>/<key>.json` and `<key>.<checksum>.safetensors`; or a baseline,
which is the same in archives (see `bench.records.archive`) and can only be read. Predictions are named by
their content, so that a record and its predictions are replaced together, by one renaming: that of the
record's file. What a done record replaces is kept (see `bench.records.versions`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bench.core.errors import UserError
from bench.core.files import make_folder, read_bounded, write_atomically
from bench.core.modalities import MODALITIES
from bench.processes.garbage import paused_gc
from bench.records import bulk, status_cache
from bench.records.archive import Archives
from bench.records.codec import LARGEST, Damaged, decode, encode
from bench.records.record import Digests, Predictions, Record
from bench.records.status_cache import CellStatus, StatusCache
from bench.records.versions import Versions
from bench.spec.cell import Cell

Result = TypeVar("Result")

ANYTHING = "anything"
"""Version that stands for any: nobody else is thought to have stored the record."""
LARGEST_PREDICTIONS = 2**32
"""Largest file of predictions in bytes; of a thousand classes and a hundred thousand images it has 200 MB."""


class Store:
    """Records of one results folder or baseline."""

    def __init__(self, root: Path | str, archives: Mapping[str, bytes] | None = None) -> None:
        """Open a folder; or a baseline in memory: its `archives` by file name, and `root` as its name."""
        self.root = Path(root)
        self.unreadable: dict[Path, str] = {}
        self._checked_versions: dict[str, str | None] = {}
        archived = archives is not None or Archives.exist_in(self.root)
        self._archives = Archives(self.root, self.unreadable, archives) if archived else None
        self.versions = Versions(self.root)

    @property
    def read_only(self) -> bool:
        """Return True for a baseline."""
        return self._archives is not None

    def prepare(self) -> None:
        """Make the folder; raises a `UserError` when it cannot be written."""
        if self.read_only:
            raise UserError(f"'{self.root}' is a baseline, which is read-only: choose another --results")
        try:
            make_folder(self.root / "records")
            with tempfile.TemporaryFile(dir=self.root / "records"):
                pass
        except OSError as error:
            # A file, or a link that leads nowhere, which is told by "File exists".
            reason = "no folder" if isinstance(error, FileExistsError) else error.strerror or error
            raise UserError(
                f"cannot write results to '{self.root}': {reason}; choose another folder with --results"
            ) from None

    def path(self, key: str) -> Path:
        """Return the path of the record of a key, whether it exists or not."""
        return Path(self._place(key))

    def _place(self, key: str) -> str:
        """Return the path as text: making `Path` objects takes as long as reading small files."""
        return f"{self.root}/records/{key[:2]}/{key}.json"

    def predictions_path(self, record: Record) -> Path:
        """Return the path of a record's predictions; in schema 1 and in baselines it has no checksum."""
        named, plain = Path(self._named(record)), self.path(record.key).with_suffix(".safetensors")
        return plain if not self._exists(named) and self._exists(plain) else named

    def _named(self, record: Record) -> str:
        key, digest = record.key, str(record.predictions_sha256)[:16]
        return f"{self.root}/records/{key[:2]}/{key}.{digest}.safetensors"

    def version(self, key: str) -> str | None:
        """Digest the content of a record's file, readable or not; None where there is none."""
        try:
            return sha256(self.content(key))
        except OSError:
            return None

    def version_when_checked(self, key: str) -> str | None:
        """Return the version of a record that `missing` checked last, or else the present one.

        A run compares with it before it computes the cell: another version means that another process has.
        """
        return self._checked_versions[key] if key in self._checked_versions else self.version(key)

    def write(self, record: Record, predictions: Predictions, seen: str | None = ANYTHING) -> Record:
        """Store a record; its predictions first, so that a record implies its predictions.

        A done record is never replaced by one that is not: it stays and is returned, and the other is kept as
        its `attempt`. `seen` is the `version` from before the work began: a record that another process has
        stored since then stays and is returned too, unless only this one is done. A done or damaged record
        that is replaced is kept among the `versions`.

        Raises:
            OSError: it cannot be stored; what was there before is there still.
        """
        assert not self.read_only, "a baseline is read-only: `prepare` says so"
        blob = save({k: np.ascontiguousarray(v) for k, v in predictions.items()}) if predictions else None
        record = record.model_copy(update={"predictions_sha256": blob and sha256(blob)})
        while True:
            content, present = self._present(record.key)
            changed = seen not in (ANYTHING, content and sha256(content))
            if present and (changed or not record.done if present.done else changed and not record.done):
                if present.done and not changed:
                    self.versions.write_attempt(record)
                return present
            self._write_predictions(record, blob)
            if self._replace(content, present, record, encode(record)):
                return record

    def restore(self, key: str, number: int) -> Record:
        """Make a version the present record again; a done one that is there becomes a version in its place.

        Raises:
            OSError: the version cannot be read, or the record cannot be stored.
            Damaged: the version is no whole record of this cell.
        """
        encoded = self.versions.content(key, number)
        record, blob = decode(encoded), None
        if record.key != key:
            raise Damaged(f"holds the record of {record.key}")
        if record.predictions_sha256:
            path = self.versions.predictions_path(key, record.predictions_sha256)
            blob = read_bounded(path, LARGEST_PREDICTIONS)
            if sha256(blob) != record.predictions_sha256:
                raise Damaged("the checksum of its predictions differs")
        self._write_predictions(record, blob)
        while True:
            content, present = self._present(key)
            # It is there already where an earlier attempt was interrupted.
            if content == encoded or self._replace(content, present, record, encoded):
                break
        self.versions.drop(key, number)
        self.versions.prune(key)
        return record

    def _present(self, key: str) -> tuple[bytes | None, Record | None]:
        """Content of a key's file and the record in it, None where there is none; raises `OSError`.

        A file that cannot be read at the moment may hold a record, which is not to be replaced.
        """
        try:
            content = self.content(key)
        except FileNotFoundError:
            return None, None
        return content, self._decoded(key, content)

    def _write_predictions(self, record: Record, blob: bytes | None) -> None:
        if blob is not None:
            _write(Path(self._named(record)), blob)

    def _replace(self, content: bytes | None, present: Record | None, record: Record, encoded: bytes) -> bool:
        """Replace the content of a file by another record; False if another process was faster."""
        key, path = record.key, self.path(record.key)
        kept = content is not None and (present is None or present.done)
        if content is not None and kept:
            self._keep(key, content, present)
        self.versions.drop_attempt(key)
        try:
            if self._present(key)[0] != content:
                return False
            _write(path, encoded, exclusive=content is None)
        except FileExistsError:
            return False
        self.unreadable.pop(path, None)
        if present and present.predictions_sha256 not in (None, record.predictions_sha256):
            self.predictions_path(present).unlink(missing_ok=True)
        if kept:
            self.versions.prune(key)
        return True

    def _keep(self, key: str, content: bytes, present: Record | None) -> None:
        """Keep what is about to be replaced among the versions."""
        digest, blob = None, None
        if present and present.predictions_sha256:
            digest = present.predictions_sha256
            with contextlib.suppress(FileNotFoundError):
                blob = read_bounded(self.predictions_path(present), LARGEST_PREDICTIONS)
        self.versions.keep(key, content, digest, blob)

    def latest(self, key: str) -> Record | None:
        """Read what came of the cell the last time that it was run: its attempt, or else its record."""
        return self.versions.attempt(key) or self.read(key)

    def read(self, key: str) -> Record | None:
        """Read the record of a key; None when it is absent or unreadable (see `unreadable`)."""
        content = self._file(key)
        return None if content is None else self._decoded(key, content)

    def _file(self, key: str) -> bytes | None:
        """Read the file of a key's record; None when it is absent or unreadable."""
        try:
            return self.content(key)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.unreadable[self.path(key)] = str(error)
            return None

    def _decoded(self, key: str, content: bytes) -> Record | None:
        """Decode the content of a key's file; None when it is not that key's record."""
        try:
            record = decode(content)
        except Damaged as error:
            self.unreadable[self.path(key)] = str(error)
            return None
        if record.key != key:
            self.unreadable[self.path(key)] = f"holds the record of {record.key}"
            return None
        return record

    def predictions(self, record: Record) -> Predictions:
        """Read the arrays stored beside a record; empty when it has none.

        Those of a record that another process has replaced since it was read are found among its versions.

        Raises:
            OSError: the file is missing, damaged, or not the one that the record was written with.
        """
        try:
            return self.own_predictions(record)
        except FileNotFoundError:
            path = self.versions.predictions_path(record.key, str(record.predictions_sha256))
            if self.read_only or not path.exists():
                raise
            return _arrays(path, read_bounded(path, LARGEST_PREDICTIONS), record)

    def own_predictions(self, record: Record) -> Predictions:
        """Read the arrays beside a record, and not those of its versions; raises as `predictions` does."""
        if record.predictions_sha256 is None:
            return {}
        path = self._named(record)
        try:
            blob = self._content(path)
        except FileNotFoundError:
            path = str(self.predictions_path(record))
            blob = self._content(path)
        return _arrays(path, blob, record)

    def records(self) -> Iterator[Record]:
        """Iterate over the readable records in the order of their keys."""
        for key in self.keys():
            record = self.read(key)
            if record is not None:
                yield record

    def keys(self) -> list[str]:
        """List the keys of all records, readable or not."""
        return [os.path.basename(path)[: -len(".json")] for path in self._files()]

    def files(self) -> list[Path]:
        """List the files of records in order, without those that an interrupted write left behind."""
        return [Path(path) for path in self._files()]

    def _files(self) -> list[str]:
        if self._archives:
            return [str(path) for path in self._archives.records()]
        files: list[str] = []
        for folder in (self.root / "records").glob("??"):
            try:
                # Globbing would make a path of each file, which takes as long as reading it.
                names = os.listdir(folder)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self.unreadable[folder] = str(error)
                continue
            files += [f"{folder}/{n}" for n in names if n.endswith(".json") and not n.startswith(".")]
        return sorted(files)

    @property
    def empty(self) -> bool:
        """Return True if there is no record at all."""
        return not self._archives and next((self.root / "records").glob("??/*.json"), None) is None

    def state(self) -> str:
        """Digest the names, sizes and times of the files of records and predictions on disk.

        It changes whenever one of them does. A baseline in memory has none.
        """
        files = []
        for folder in (self.root / "records").glob("??"):
            # What is no folder, or went away just now, belongs to no record.
            with contextlib.suppress(OSError):
                for name in os.listdir(folder):
                    with contextlib.suppress(FileNotFoundError):
                        status = os.stat(f"{folder}/{name}")
                        files.append((name, status.st_size, status.st_mtime_ns))
        return sha256(repr(sorted(files)).encode())

    def content(self, key: str) -> bytes:
        """Read the file of a key's record, whatever is in it; raises `OSError`."""
        return self._content(self._place(key))

    def _content(self, path: str) -> bytes:
        if self._archives:
            return self._archives.read(Path(path))
        return read_bounded(path, LARGEST if path.endswith(".json") else LARGEST_PREDICTIONS)

    def _exists(self, path: Path) -> bool:
        return self._archives.exists(path) if self._archives else path.exists()

    def map_chunks(
        self, keys: Sequence[str], read: Callable[[Store, Sequence[str]], Result]
    ) -> Iterator[Result]:
        """Apply `read` to chunks of these keys; results come in the order of the keys.

        Many records are read by other processes (see `bulk.map_chunks`), each with a store of this folder.
        A baseline, which is small and may be in memory, is read in this one.
        """
        many = len(keys) >= bulk.MANY and not self.read_only
        return bulk.map_chunks(partial(read, self), keys, many)

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        """Pickle the folder alone, and not all that is known of it."""
        assert not self.read_only
        return Store, (self.root,)

    def missing(
        self,
        cells: Sequence[Cell],
        digests: Mapping[str, Digests],
        keep_stale: bool = False,
        retry_failed: bool = False,
    ) -> tuple[list[Cell], int]:
        """List the cells without a current record, in order, and count those of them with a stale one.

        `digests` are the present ones, by method name.
        """
        todo, stale = [], 0
        for cell, status in self._statuses(cells):
            if status is None or (retry_failed and status.status != "done"):
                todo.append(cell)
            elif status.digests.outdated(digests[cell.method]) and not keep_stale:
                stale += 1
                todo.append(cell)
        return todo, stale

    def stale(self, cells: Sequence[Cell], digests: Mapping[str, Digests]) -> dict[str, list[str]]:
        """Name what differs from the present digests in the record of each cell that is stale, by key."""
        return {
            cell.key: differences
            for cell, status in self._statuses(cells)
            if status
            and (
                differences := status.digests.differences(
                    digests[cell.method], MODALITIES[cell.modality].items
                )
            )
        }

    def _statuses(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, CellStatus | None]]:
        """Look up the status of each cell; None where it has no record that can be read."""
        cache = StatusCache(self.root / "records" / status_cache.FILE)
        with paused_gc():
            yield from zip(cells, self._looked_up(cells, cache), strict=True)
        if not self.read_only:
            cache.save()

    def _looked_up(self, cells: Sequence[Cell], cache: StatusCache) -> Iterator[CellStatus | None]:
        """Look up the status of each cell, in the cache or in its record."""
        keys = (cell.key for cell in cells)
        if self.read_only or len(cells) - len(cache) < bulk.MANY:
            yield from (self._status(key, cache) for key in keys)
            return
        for unreadable, chunk in bulk.map_chunks(partial(_read_statuses, self), keys, many=True):
            self.unreadable |= unreadable
            for key, version, status in chunk:
                self._checked_versions[key] = version
                if status and version:
                    cache.add(key, version, status)
                yield status

    def _status(self, key: str, cache: StatusCache | None = None) -> CellStatus | None:
        """Look up the status of a cell, and note the version of its record."""
        content = self._file(key)
        if content is None:
            self._checked_versions[key] = None
            return None
        version = self._checked_versions[key] = sha256(content)
        status = None if cache is None else cache.get(key, version)
        if status is None and (record := self._decoded(key, content)) is not None:
            status = CellStatus.of(record)
            if cache is not None:
                cache.add(key, version, status)
        return status


def sha256(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes, exclusive: bool = False) -> None:
    """Write a file atomically into a folder that `gc` may remove while it is empty."""
    try:
        write_atomically(path, content, exclusive)
    except FileNotFoundError:
        write_atomically(path, content, exclusive)


def _arrays(path: str | Path, blob: bytes, record: Record) -> Predictions:
    """Unpack predictions whose checksum is that of their record; raises `OSError`."""
    if sha256(blob) != record.predictions_sha256:
        raise OSError(f"{path}: checksum differs from its record's")
    try:
        return load(blob)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise OSError(f"{path}: {error}") from None


ReadStatuses = tuple[dict[Path, str], list[tuple[str, str | None, CellStatus | None]]]
"""Unreadable files with their reasons; and keys with versions and statuses."""


def _read_statuses(store: Store, keys: Sequence[str]) -> ReadStatuses:
    """Look up statuses in another process; equal ones are one object, so that they are pickled once."""
    once: dict[CellStatus | None, CellStatus | None] = {}
    found = [(key, status) for key in keys for status in [store._status(key)]]
    versions = store._checked_versions
    return store.unreadable, [(key, versions[key], once.setdefault(status, status)) for key, status in found]
