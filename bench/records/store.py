"""Records on disk: whole or absent, one file each, predictions beside them.

Layout: `<root>/records/<first two digits>/<key>.json` and `<key>.<checksum>.safetensors`; or a baseline,
which is the same in archives (see `pack`) and can be read only. Predictions are named by their content, so
that a record and its predictions are replaced together, by one renaming: that of the record's file.
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
from bench.records import bulk
from bench.records.archive import Pack
from bench.records.codec import Damaged, decode, encode
from bench.records.record import Digests, Predictions, Record
from bench.records.status_cache import CellStatus, StatusCache
from bench.spec.cell import Cell

Part = TypeVar("Part")

ANYTHING = "anything"
"""The version of a record that may be replaced whatever it is."""


class Store:
    """The records of one results folder."""

    def __init__(self, root: Path | str, archives: Mapping[str, bytes] | None = None) -> None:
        """A folder; with `archives`, a baseline that is in memory and only called `root`."""
        self.root = Path(root)
        self.unreadable: dict[Path, str] = {}
        self._judged: dict[str, str | None] = {}
        packed = archives is not None or Pack.at(self.root)
        self._pack = Pack(self.root, self.unreadable, archives) if packed else None

    @property
    def read_only(self) -> bool:
        """Whether this is a baseline."""
        return self._pack is not None

    def prepare(self) -> None:
        """Make the folder; a `UserError` when it cannot be written."""
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
        """Where the record of that key is, or would be."""
        return Path(self._place(key))

    def _place(self, key: str) -> str:
        """The same as text: making paths takes as long as reading small files."""
        return f"{self.root}/records/{key[:2]}/{key}.json"

    def predictions_path(self, record: Record) -> Path:
        """Where a record's predictions are; in baselines, and of older records, without their checksum."""
        named, plain = Path(self._named(record)), self.path(record.key).with_suffix(".safetensors")
        return plain if not self._holds(named) and self._holds(plain) else named

    def _named(self, record: Record) -> str:
        key, digest = record.key, str(record.predictions_sha256)[:16]
        return f"{self.root}/records/{key[:2]}/{key}.{digest}.safetensors"

    def version(self, key: str) -> str | None:
        """What a record's file holds now, readable or not, as a digest; None where there is none."""
        try:
            return hashlib.sha256(self._content(self._place(key))).hexdigest()
        except OSError:
            return None

    def judged(self, key: str) -> str | None:
        """The version of a record at which `missing` looked last, or else that of now.

        Whoever is to do what is missing compares with it: another version means that somebody has done it.
        """
        return self._judged[key] if key in self._judged else self.version(key)

    def write(self, record: Record, predictions: Predictions, seen: str | None = ANYTHING) -> Record:
        """Store a record; its predictions first, so that a record implies its predictions.

        With `seen`, the `version` there was when the work began: a record that somebody else has stored
        since stays, and is returned.
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
        """The record of that key, or None when absent or unreadable (see `unreadable`)."""
        content = self._file(key)
        return None if content is None else self._decoded(key, content)

    def _file(self, key: str) -> bytes | None:
        """What the file of that key's record holds, or None when absent or unreadable."""
        try:
            return self._content(self._place(key))
        except FileNotFoundError:
            return None
        except OSError as error:
            self.unreadable[self.path(key)] = str(error)
            return None

    def _decoded(self, key: str, content: bytes) -> Record | None:
        """The record of that key out of the content of its file; None when it is not readable."""
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
        """The arrays stored beside a record; empty when it has none.

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
        """Every readable record, in the order of its key."""
        for key in self.keys():
            record = self.read(key)
            if record is not None:
                yield record

    def keys(self) -> list[str]:
        """Keys of all records, readable or not."""
        return [os.path.basename(path)[: -len(".json")] for path in self._files()]

    def files(self) -> list[Path]:
        """Files of records, in order; what an interrupted write left behind is none."""
        return [Path(path) for path in self._files()]

    def _files(self) -> list[str]:
        if self._pack:
            return [str(path) for path in self._pack.records()]
        found: list[str] = []
        for folder in (self.root / "records").glob("??"):
            try:
                # Globbing would make a path of each file, which takes as long as reading it.
                names = os.listdir(folder)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self.unreadable[folder] = str(error)
                continue
            found += [f"{folder}/{n}" for n in names if n.endswith(".json") and not n.startswith(".")]
        return sorted(found)

    @property
    def empty(self) -> bool:
        """Whether there is no record at all."""
        return not self._pack and next((self.root / "records").glob("??/*.json"), None) is None

    def state(self) -> str:
        """A digest that changes whenever a file of records or predictions does, going by size and time.

        Of what is on disk: a baseline in memory has none.
        """
        found = sorted(
            (entry.name, (seen := entry.stat()).st_size, seen.st_mtime_ns)
            for folder in (self.root / "records").glob("??")
            for entry in os.scandir(folder)
        )
        return hashlib.sha256(repr(found).encode()).hexdigest()

    def _content(self, path: str) -> bytes:
        if self._pack:
            return self._pack.read(Path(path))
        with open(path, "rb", buffering=0) as file:
            return file.read()

    def _holds(self, path: Path) -> bool:
        return self._pack.holds(path) if self._pack else path.exists()

    def in_parts(self, keys: Sequence[str], read: Callable[[Store, Sequence[str]], Part]) -> Iterator[Part]:
        """What `read` makes of the records of these keys, some of them at a time, in order.

        Of many records, other processes do so (see `reading.in_parts`), with a store of this folder each.
        A baseline, which is small and may be in memory, is read here.
        """
        many = len(keys) >= bulk.MANY and not self.read_only
        return bulk.in_parts(partial(read, self), keys, many)

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        """Another process has to hear of the folder, and not of all that is known of it."""
        assert not self.read_only
        return Store, (self.root,)

    def missing(
        self,
        cells: Sequence[Cell],
        digests: Mapping[str, Digests],
        keep_stale: bool = False,
        retry_failed: bool = False,
    ) -> tuple[list[Cell], int]:
        """Cells without a current record, in order; and how many of them have a stale one.

        `digests` are today's, by method name.
        """
        todo, stale = [], 0
        known = StatusCache(self.root / "records" / "known.json")
        with paused_gc():
            for cell, gist in zip(cells, self._gists(cells, known), strict=True):
                if gist is None or (retry_failed and gist.status != "done"):
                    todo.append(cell)
                elif gist.digests != digests[cell.method] and not keep_stale:
                    stale += 1
                    todo.append(cell)
            if not self.read_only:
                known.save()
        return todo, stale

    def _gists(self, cells: Sequence[Cell], known: StatusCache) -> Iterator[CellStatus | None]:
        """What `missing` asks of the record of each cell."""
        keys = (cell.key for cell in cells)
        if self.read_only or len(cells) - len(known) < bulk.MANY:
            yield from (self._gist(key, known) for key in keys)
            return
        for unreadable, part in bulk.in_parts(partial(_glances, self), keys, many=True):
            self.unreadable |= unreadable
            for key, version, gist in part:
                self._judged[key] = version
                if gist and version:
                    known.add(key, version, gist)
                yield gist

    def _gist(self, key: str, known: StatusCache | None = None) -> CellStatus | None:
        """The gist of a record; its version is then that at which it was judged."""
        content = self._file(key)
        if content is None:
            self._judged[key] = None
            return None
        version = self._judged[key] = hashlib.sha256(content).hexdigest()
        gist = None if known is None else known.gist(key, version)
        if gist is None and (record := self._decoded(key, content)) is not None:
            gist = CellStatus.of(record)
            if known is not None:
                known.add(key, version, gist)
        return gist


Glances = tuple[dict[Path, str], list[tuple[str, str | None, CellStatus | None]]]
"""What could not be read, and versions and gists by key."""


def _glances(store: Store, keys: Sequence[str]) -> Glances:
    """The same of records that another process asks for."""
    once: dict[CellStatus | None, CellStatus | None] = {}
    found = [(key, gist) for key in keys for gist in [store._gist(key)]]
    return store.unreadable, [(key, store._judged[key], once.setdefault(gist, gist)) for key, gist in found]
