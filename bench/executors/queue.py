"""Queue of one run's cells: waiting, with a worker, done; their leases and records."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from bench.core.errors import UserError
from bench.core.text import private
from bench.executors.protocol import Watcher
from bench.processes.protocol import WorkerHandle
from bench.records.leases import Leases
from bench.records.record import Digests, Environment, Outcome, Record, Request
from bench.records.store import Store
from bench.spec.cell import Cell, Setting
from bench.spec.matrix.plan import family


@dataclass(eq=False)
class QueuedCell:
    """Cell that is to be done."""

    cell: Cell
    seen: str | None
    """Version of its record when it was found missing: another process may store another one."""
    exits: int = 0
    """Worker processes that ended under it."""
    node_losses: int = 0
    """Nodes that were lost under it."""
    started: float = math.inf
    """Start of its work by the monotonic clock."""
    phase: str = "start"
    """Phase of its work, and progress in it."""

    def __post_init__(self) -> None:
        # Looked up for every cell whenever one is dispatched.
        self.key, self.family = self.cell.key, family(self.cell)


class CellQueue:
    """Cells of one run, and the workers that have them."""

    def __init__(
        self,
        cells: Sequence[Cell],
        suite: str,
        digests: Mapping[str, Digests],
        store: Store,
        watcher: Watcher,
        leases: Leases,
        seen: Mapping[str, str | None] | None = None,
    ) -> None:
        self.suite, self.digests, self.store, self.watcher = suite, digests, store, watcher
        self._leases = leases
        seen = {cell.key: store.version_when_checked(cell.key) for cell in cells} if seen is None else seen
        self.waiting = deque(QueuedCell(cell, seen[cell.key]) for cell in cells)
        self.busy: dict[WorkerHandle, QueuedCell] = {}

    def take(self) -> QueuedCell | None:
        """Take a cell that no process works on, with its lease; drop those that others have done by now."""
        busy = {queued.family for queued in self.busy.values()}
        waiting = [*self.waiting]
        first = (queued for queued in waiting if queued.family not in busy)
        for queued in chain(first, (queued for queued in waiting if queued.family in busy)):
            key = queued.key
            if not self._leases.take(key):
                continue
            self.waiting.remove(queued)
            if not self.is_done(queued):
                return queued
            self._leases.release(key)
            record = self.store.read(key)
            if record is not None:
                self.watcher.elsewhere(record)
        return None

    def assign(self, worker: WorkerHandle, queued: QueuedCell) -> None:
        """Assign a cell to a worker."""
        self.busy[worker] = queued
        queued.started, queued.phase = math.inf, "start"
        self.watcher.started(queued.cell)

    def is_done(self, queued: QueuedCell) -> bool:
        """Return True if there is a current record that was not there when the cell was found missing.

        What is there instead, as a stale record that was merged or none where one was moved away, is what the
        cell's record will replace.
        """
        version = self.store.version(queued.key)
        if version == queued.seen:
            return False
        record = self.store.read(queued.key)
        if record is not None and not record.digests.outdated(self.digests[queued.cell.method]):
            return True
        queued.seen = version
        return False

    def complete(self, worker: WorkerHandle) -> Record | None:
        """Complete a worker's cell, whose record is stored, or its attempt beside an earlier record."""
        queued = self.busy.pop(worker)
        attempt, record = self.store.versions.attempt(queued.key), self.store.read(queued.key)
        self._leases.release(queued.key)
        told = attempt or record
        if told is not None:
            self.watcher.finished(told)
        if attempt:
            self.watcher.note(f"{queued.cell.title}: {attempt.outcome.status}; its earlier record stays")
        elif record is None:
            self.watcher.note(f"{queued.cell.title}: its record has gone away")
        return told

    def requeue(self, worker: WorkerHandle) -> None:
        """Requeue the cell of a worker that has ended; any process may take it."""
        queued = self.busy.pop(worker)
        self._leases.release(queued.key)
        self.waiting.appendleft(queued)

    def fail(
        self, worker: WorkerHandle, reason: str, log: str, setting: Setting, environment: Environment
    ) -> None:
        """Store the record of a cell whose worker could not.

        Raises:
            UserError: the folder cannot be written any more.
        """
        queued = self.busy[worker]
        record = Record(
            key=queued.key,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            request=Request(cell=queued.cell, setting=setting, suite=self.suite),
            outcome=Outcome(status="failed", reason=private(reason), log=private(log)),
            digests=self.digests[queued.cell.method],
            environment=environment,
        )
        try:
            self.store.write(record, {}, queued.seen)
        except OSError as error:
            raise cannot_write(self.store.root, error) from None
        self.complete(worker)


def cannot_write(root: object, error: OSError) -> UserError:
    """Error of a disk that is full, or became read-only."""
    return UserError(f"cannot write results to '{root}': {error.strerror or error}; what is recorded is kept")
