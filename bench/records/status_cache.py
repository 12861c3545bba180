"""What records say that a run must know before it begins, kept by their content: reading it again takes long.

An entry holds only for a record's file of that very content, so it is never out of date; the file may be
deleted at any moment.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import NamedTuple

from bench.core.files import write_atomically
from bench.records.record import Digests, Record, Status

LEAST = 1000
"""Records that must be new before it is written: of few, reading them is as fast."""


class CellStatus(NamedTuple):
    """How a cell ended, and with what code and data."""

    status: Status
    digests: Digests

    @classmethod
    def of(cls, record: Record) -> CellStatus:
        """What of a record is kept."""
        return cls(record.outcome.status, record.digests)


class StatusCache:
    """The gists of a folder's records, in one file."""

    def __init__(self, path: Path) -> None:
        """What the file holds; nothing where there is none, or no sound one."""
        self._path, self._new = path, 0
        self._gists: list[CellStatus] = []
        self._entries: dict[str, tuple[str, int]] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            held = json.loads(path.read_bytes())
            self._gists = [CellStatus(status, Digests(**digests)) for status, digests in held["gists"]]
            self._entries = {
                key: (version, place)
                for key, (version, place) in held["entries"].items()
                if 0 <= place < len(self._gists)
            }

    def __len__(self) -> int:
        return len(self._entries)

    def gist(self, key: str, version: str | None) -> CellStatus | None:
        """Of the record of a key whose file has this digest; None where it is not known."""
        found = self._entries.get(key)
        return self._gists[found[1]] if found and found[0] == version else None

    def add(self, key: str, version: str, gist: CellStatus) -> None:
        """Know of one more."""
        if gist not in self._gists:
            self._gists.append(gist)
        self._entries[key] = version, self._gists.index(gist)
        self._new += 1

    def save(self) -> None:
        """Keep what is new, if it is much; a folder that cannot be written stays as it is."""
        if self._new < LEAST:
            return
        held = {
            "gists": [(gist.status, gist.digests.model_dump()) for gist in self._gists],
            "entries": self._entries,
        }
        with contextlib.suppress(OSError):
            write_atomically(self._path, json.dumps(held).encode())
            self._new = 0
