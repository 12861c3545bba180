"""Status cache: what a run must know of records before it begins, by their content; reading them takes long.

An entry holds only for a record's file of exactly that content, so it is never out of date; the file may be
deleted at any moment. Its first line is the checksum of the second.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from bench.core.files import read_bounded, write_atomically
from bench.records.record import Digests, Record, Status

FILE, OLD_FILES = "status_cache.jsonl", ("status_cache.json", "known.json")
"""Names in the folder of records; old ones are not read."""

LARGEST = 2**28
"""Largest file in bytes; a hundred thousand entries have ten million."""

LEAST = 1000
"""New entries from which on the file is written: few records are read as fast."""


class CellStatus(NamedTuple):
    """Status of a cell, and the digests of the code and data that it was computed with."""

    status: Status
    digests: Digests

    @classmethod
    def of(cls, record: Record) -> CellStatus:
        """Take the status out of a record."""
        return cls(record.outcome.status, record.digests)


class StatusCache:
    """Statuses of the cells of a results folder, in one file."""

    def __init__(self, path: Path) -> None:
        """Read the file; a missing or damaged one is an empty cache."""
        self._path, self._new = path, 0
        self._statuses: list[CellStatus] = []
        self._entries: dict[str, tuple[str, int]] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            checksum, content = read_bounded(path, LARGEST).split(b"\n", 1)
            if checksum != _checksum(content):
                return
            held = json.loads(content)
            self._statuses = [CellStatus(status, Digests(**digests)) for status, digests in held["statuses"]]
            self._entries = {
                key: (version, place)
                for key, (version, place) in held["entries"].items()
                if 0 <= place < len(self._statuses)
            }

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str, version: str | None) -> CellStatus | None:
        """Look up the status of a key whose file has this digest; None where it is unknown."""
        entry = self._entries.get(key)
        return self._statuses[entry[1]] if entry and entry[0] == version else None

    def add(self, key: str, version: str, status: CellStatus) -> None:
        """Add the status of a key whose file has this digest."""
        if status not in self._statuses:
            self._statuses.append(status)
        self._entries[key] = version, self._statuses.index(status)
        self._new += 1

    def save(self) -> None:
        """Write the file if much is new; a folder that cannot be written stays as it is."""
        if self._new < LEAST:
            return
        held = {
            "statuses": [(entry.status, entry.digests.model_dump()) for entry in self._statuses],
            "entries": self._entries,
        }
        with contextlib.suppress(OSError):
            content = json.dumps(held).encode()
            write_atomically(self._path, _checksum(content) + b"\n" + content)
            self._new = 0


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
