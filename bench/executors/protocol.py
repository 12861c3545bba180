"""Options of executors, and the watcher that one reports to."""

from __future__ import annotations

from typing import Protocol

from bench.records.record import Record
from bench.spec.cell import Cell
from bench.spec.resources import Resources
from bench.spec.toml import Frozen


class ExecutorOptions(Frozen):
    """Options of an executor, made once: what the command line and a suite's `[executor]` table say."""

    device: str = "auto"
    share: bool = True
    """True if cells share features and source stages, False if each makes its own."""
    address: str | None = None
    """Address of a Ray cluster."""
    resources: Resources = Resources()
    module: str = "bench.executors.worker"
    """Module that worker processes run."""


class TrialImages(Frozen):
    """Images that networks are tried on before cells run."""

    image_size: int
    batch_size: int
    """Smallest of the batches."""


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
        """Text that is not about one cell."""
