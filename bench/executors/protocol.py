"""What an executor tells whoever watches."""

from __future__ import annotations

from typing import Protocol

from bench.records.record import Record
from bench.spec.cell import Cell


class Watcher(Protocol):
    """Follows a run."""

    def started(self, cell: Cell) -> None:
        """A cell begins."""

    def progress(self, cell: Cell, what: str, done: int, total: int) -> None:
        """A cell goes on: `what` it is doing, how far it is."""

    def finished(self, record: Record) -> None:
        """A cell's record is stored."""

    def elsewhere(self, record: Record) -> None:
        """Another process has stored a cell's record."""

    def note(self, text: str) -> None:
        """Something that is not about one cell."""
