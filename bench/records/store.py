"""Store of records on disk: whole or absent, one file each, predictions beside them.

Layout: `<root>/records/<first two digits>/<key>.json` and `<key>.<checksum>.safetensors`; or a baseline,
which is the same in archives (see `bench.records.archive`) and can only be read. Predictions are named by
their content, so that a record and its predictions are replaced together, by one renaming: that of the
record's file.
"""

from __future__ import annotations

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
from bench.core.files import make_folder, write_atomically
from bench.processes.garbage import paused_gc
from bench.records import bulk, status_cache
from bench.records.archive import Archives
from bench.records.codec import Damaged, decode, encode
from bench.records.record import Digests, Predictions, Record
from bench.records.status_cache import CellStatus, StatusCache
from bench.spec.cell import Cell

Result = TypeVar("Result")

ANYTHING = "anything"
"""Version that stands for any: the record is replaced in any case."""


class Store:
    """Records of one results folder or baseline."""

    def __init__(self, root: Path | str, archives: Mapping[str, bytes] | None = None) -> None:
        """Open a folder; or a baseline in memory: its `archives` by file name, and `root` as its name."""
        self.root = Path(root)
        self.unreadable: dict[Path, str] = {}
        self._checked_versions: dict[str, str | None] = {}
        archived = archives is not None or Archives.exist_in(self.root)
        self._archives = Archives(self.root, self.unreadable, archives) if archived else None

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
            raise UserError(
                f"cannot write results to '{self.root}': {error.strerror or error}; "
                "choose another folder with --results"
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
            return hashlib.sha256(self._content(self._place(key))).hexdigest()
        except OSError:
            return None

    def version_when_checked(self, key: str) -> str | None:
        """Return the version of a record that `missing` checked last, or else the present one.

        A run compares with it before it computes the cell: another version means that another process has.
        """
        return self._checked_versions[key] if key in self._checked_versions else self.version(key)

    def write(self, record: Record, predictions: Predictions, seen: str | None = ANYTHING) -> Record:
        """Store a record; its predictions first, so that a record implies its predictions.

        `seen` is the `version` from before the work began: a record that another process has stored since
        then stays, and is returned.
        """
        assert not self.read_only, "a baseline is read-only: `prepare` says so"
        path = self.path(record.key)
        before = self.read(record.key) if path.exists() else None
        if predictions:
            blob = save({k: np.ascontiguousarray(v) for k, v in predictions.items()})
            record = record.model_copy(update={"predictions_sha256": hashlib.sha256(blob).hexdigest()})
            write_atomically(Path(self._named(record)), blob)
        stored = record
        if seen not in (ANYTHING, self.version(record.key)):
            stored = self.read(record.key) or record
        else:
            try:
                write_atomically(path, encode(record), exclusive=seen is None)
            except FileExistsError:
                stored = self.read(record.key) or record
        self.unreadable.pop(path, None)
        for other in (before, record):
            if other and other.predictions_sha256 not in (None, stored.predictions_sha256):
                self.predictions_path(other).unlink(missing_ok=True)
        return stored

    def read(self, key: str) -> Record | None:
        """Read the record of a key; None when it is absent or unreadable (see `unreadable`)."""
        content = self._file(key)
        return None if content is None else self._decoded(key, content)

    def _file(self, key: str) -> bytes | None:
        """Read the file of a key's record; None when it is absent or unreadable."""
        try:
            return self._content(self._place(key))
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

        Raises:
            OSError: the file is missing, damaged, or not the one that the record was written with.
        """
        if record.predictions_sha256 is None:
            return {}
        path = self._named(record)
        try:
            blob = self._content(path)
        except FileNotFoundError:
            path = str(self.predictions_path(record))
            blob = self._content(path)
        if hashlib.sha256(blob).hexdigest() != record.predictions_sha256:
            raise OSError(f"{path}: checksum differs from its record's")
        try:
            return load(blob)
        except (SafetensorError, ValueError, TypeError, KeyError) as error:
            raise OSError(f"{path}: {error}") from None

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
        files = sorted(
            (entry.name, (status := entry.stat()).st_size, status.st_mtime_ns)
            for folder in (self.root / "records").glob("??")
            for entry in os.scandir(folder)
        )
        return hashlib.sha256(repr(files).encode()).hexdigest()

    def _content(self, path: str) -> bytes:
        if self._archives:
            return self._archives.read(Path(path))
        with open(path, "rb", buffering=0) as file:
            return file.read()

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
        cache = StatusCache(self.root / "records" / status_cache.FILE)
        with paused_gc():
            for cell, status in zip(cells, self._statuses(cells, cache), strict=True):
                if status is None or (retry_failed and status.status != "done"):
                    todo.append(cell)
                elif status.digests.outdated(digests[cell.method]) and not keep_stale:
                    stale += 1
                    todo.append(cell)
            if not self.read_only:
                cache.save()
        return todo, stale

    def _statuses(self, cells: Sequence[Cell], cache: StatusCache) -> Iterator[CellStatus | None]:
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
        version = self._checked_versions[key] = hashlib.sha256(content).hexdigest()
        status = None if cache is None else cache.get(key, version)
        if status is None and (record := self._decoded(key, content)) is not None:
            status = CellStatus.of(record)
            if cache is not None:
                cache.add(key, version, status)
        return status


ReadStatuses = tuple[dict[Path, str], list[tuple[str, str | None, CellStatus | None]]]
"""Unreadable files with their reasons; and keys with versions and statuses."""


def _read_statuses(store: Store, keys: Sequence[str]) -> ReadStatuses:
    """Look up statuses in another process; equal ones are one object, so that they are pickled once."""
    once: dict[CellStatus | None, CellStatus | None] = {}
    found = [(key, status) for key in keys for status in [store._status(key)]]
    versions = store._checked_versions
    return store.unreadable, [(key, versions[key], once.setdefault(status, status)) for key, status in found]
