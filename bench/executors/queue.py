"""The cells of one run: waiting, in the hands of a worker, done; their claims and records."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from bench.core.errors import UserError
from bench.executors.protocol import Watcher
from bench.processes.protocol import WorkerHandle
from bench.records.leases import Leases
from bench.records.record import Digests, Environment, Outcome, Record, Request
from bench.records.store import Store
from bench.spec.cell import Cell, Setting
from bench.spec.matrix.plan import family


@dataclass(eq=False)
class Job:
    """A cell that is to be done."""

    cell: Cell
    seen: str | None
    """The version of its record when it was found missing: another one means that somebody has done it."""
    tries: int = 0
    losses: int = 0
    since: float = math.inf
    """When its worker began, by the monotonic clock."""
    doing: str = "start"

    def __post_init__(self) -> None:
        # Looked up for every cell whenever one is handed out.
        self.key, self.family = self.cell.key, family(self.cell)


class Jobs:
    """The cells of one run, and who has them."""

    def __init__(
        self,
        cells: Sequence[Cell],
        suite: str,
        digests: Mapping[str, Digests],
        store: Store,
        watcher: Watcher,
        claims: Leases,
        seen: Mapping[str, str | None] | None = None,
    ) -> None:
        self.suite, self.digests, self.store, self.watcher = suite, digests, store, watcher
        self._claims = claims
        seen = {cell.key: store.version_when_checked(cell.key) for cell in cells} if seen is None else seen
        self.waiting = deque(Job(cell, seen[cell.key]) for cell in cells)
        self.busy: dict[WorkerHandle, Job] = {}

    def next(self) -> Job | None:
        """A cell that nobody works on, claimed; what others have done meanwhile is struck off the list."""
        taken = {job.family for job in self.busy.values()}
        waiting = [*self.waiting]
        first = (job for job in waiting if job.family not in taken)
        for job in chain(first, (job for job in waiting if job.family in taken)):
            key = job.key
            if not self._claims.take(key):
                continue
            self.waiting.remove(job)
            if not self.is_done(job):
                return job
            self._claims.release(key)
            record = self.store.read(key)
            if record is not None:
                self.watcher.elsewhere(record)
        return None

    def begin(self, child: WorkerHandle, job: Job) -> None:
        """A worker has it."""
        self.busy[child] = job
        job.since, job.doing = math.inf, "start"
        self.watcher.started(job.cell)

    def is_done(self, job: Job) -> bool:
        """Whether there is a record that was not there when the cell was found missing."""
        return self.store.version(job.key) != job.seen

    def settle(self, child: WorkerHandle) -> Record | None:
        """A record is there."""
        job = self.busy.pop(child)
        record = self.store.read(job.key)
        self._claims.release(job.key)
        if record is not None:
            self.watcher.finished(record)
        return record

    def give_up(self, child: WorkerHandle) -> None:
        """The cell of a worker that is no more is there for anybody."""
        job = self.busy.pop(child)
        self._claims.release(job.key)
        self.waiting.appendleft(job)

    def fail(self, child: WorkerHandle, reason: str, log: str, setting: Setting, where: Environment) -> None:
        """Store the record of a cell that could not speak for itself.

        Raises:
            UserError: the folder cannot be written any more.
        """
        job = self.busy[child]
        record = Record(
            key=job.key,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            request=Request(cell=job.cell, setting=setting, suite=self.suite),
            outcome=Outcome(status="failed", reason=reason, log=log),
            digests=self.digests[job.cell.method],
            environment=where,
        )
        try:
            self.store.write(record, {}, job.seen)
        except OSError as error:
            raise cannot_write(self.store.root, error) from None
        self.settle(child)


def cannot_write(root: object, error: OSError) -> UserError:
    """What to say when a disk is full, or became read-only."""
    return UserError(f"cannot write results to '{root}': {error.strerror or error}; what is recorded is kept")
