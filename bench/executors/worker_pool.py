"""Pool of worker processes, whose cells may raise, hang, run out of memory or die without ending the run."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count as counting

from bench.core.errors import UserError
from bench.executors.messages import (
    ANSWER,
    Answer,
    CellFinished,
    CellProgress,
    CellRequest,
    CellStarted,
    CellStopped,
    Prepared,
    PrepareRequest,
)
from bench.executors.protocol import ExecutorOptions, TrialImages, Watcher
from bench.executors.queue import CellQueue
from bench.processes.local import LocalLauncher
from bench.processes.protocol import Answers, Exited, Failure, Launcher, Note, WorkerHandle
from bench.processes.signals import STOPPING, Interrupted, interruptions
from bench.records.leases import Leases
from bench.records.record import Digests, Environment
from bench.records.store import Store
from bench.spec.cell import Cell, Setting

MAX_EXITS = 2
"""Worker processes that may end under a cell before it has failed: the first may have been an accident."""

MAX_NODE_LOSSES = 8
"""Nodes that may be lost under a cell before it has failed; that is seldom the cell's doing."""

POLL = 1.0
"""Seconds between two checks of time limits, and of cells that other processes work on."""


class WorkerPool:
    """Worker processes on one kind of device; they live on from run to run."""

    def __init__(self, options: ExecutorOptions, launcher: Launcher | None = None) -> None:
        """Start the first worker; at most `options.resources.workers` work at once, else as capacity says."""
        self._options, self._launcher = options, launcher or LocalLauncher()
        self._limit = options.resources.workers
        self._assigned: list[list[int]] = [[]]
        """Accelerators by slot."""
        self._slots: dict[WorkerHandle, int] = {}
        self._answers: Answers = queue.SimpleQueue()
        self._workers: list[WorkerHandle] = []
        self._silent: set[WorkerHandle] = set()
        """Workers that have not answered yet."""
        # The first begins to load its libraries now; the others once it is known that they are needed.
        self._start_worker()
        self._prepared: set[tuple[str, TrialImages | None]] | None = None
        self._setting = Setting()
        self._environment = Environment(python="", packages={}, platform="", cpu="")
        self._signals: list[int] = []

    @property
    def count(self) -> int:
        """Cells at once, with the capacity that there is now."""
        limits = (self._limit, self._launcher.capacity)
        return min((limit for limit in limits if limit is not None), default=1)

    @property
    def pids(self) -> list[int]:
        """Numbers of the processes that are there now."""
        return [worker.pid for worker in self._workers]

    def prepare(
        self, backbones: Sequence[str], note: Callable[[str], None], images: TrialImages | None = None
    ) -> None:
        """Resolve the device, fetch weights and try them on images, in the first worker.

        `note` is called with its notes.

        Raises:
            UserError: the device or a backbone is out of reach, or no backbone can take the images.
        """
        asked = {(name, images) for name in backbones}
        if self._prepared is not None and self._prepared.issuperset(asked):
            return
        resources = self._options.resources
        for last in (False, True):
            first = self._workers[0] if self._workers else self._start_worker()
            first.send(
                PrepareRequest(
                    device=self._options.device,
                    backbones=tuple(backbones),
                    images=images,
                    workers=self.count or 1,
                    devices_per_cell=resources.devices_per_cell,
                    cells_per_device=None if self._launcher.assigns_devices else resources.cells_per_device,
                )
            )
            if self._await_prepared(first, note, last):
                self._prepared = {*(self._prepared or ()), *asked}
                return

    def _await_prepared(self, first: WorkerHandle, note: Callable[[str], None], last: bool) -> bool:
        """Return True once a worker has prepared, False if it died; an error if it was the `last` attempt."""
        while True:
            item = self._answers.get()
            if item is None or item[0] is not first:
                continue
            self._silent.discard(first)
            match ANSWER.validate_json(item[1]):
                case Prepared() as prepared:
                    self._setting, self._environment = prepared.setting, prepared.environment
                    self._assigned = prepared.devices
                    if not self._launcher.assigns_devices:
                        self._limit = len(self._assigned)
                    return True
                case Note(text=text):
                    note(text)
                case Failure(message=message):
                    raise UserError(message)
                case Exited():
                    reason = first.exit_reason()
                    log = self._terminate(first).splitlines()
                    if last:
                        raise UserError(f"a worker process did not start: {log[-1] if log else reason}")
                    return False

    def run(
        self,
        cells: Sequence[Cell],
        suite: str,
        digests: Mapping[str, Digests],
        store: Store,
        watcher: Watcher,
        timeout: float | None = None,
        seen: Mapping[str, str | None] | None = None,
    ) -> None:
        """Do each cell once, beside other processes that work on this folder; a finished cell is stored.

        A cell that takes longer than `timeout` seconds is ended and has failed. `seen` are the versions of
        the cells' records when they were found missing, if that was before now.

        Raises:
            Interrupted: by SIGINT, SIGTERM or SIGHUP: cells in hand were finished, saved or, at the second,
                requeued.
            UserError: the folder cannot be written any more, or not from everywhere.
        """
        self._launcher.check(store.root)
        run = CellQueue(cells, suite, digests, store, watcher, Leases(store.root), seen)
        with interruptions(lambda: self._answers.put(None)) as self._signals:
            try:
                stopping = False
                while len(self._signals) < 2 and (run.busy or (run.waiting and not self._signals)):
                    for line in self._launcher.changes():
                        watcher.note(line)
                    if not self._signals:
                        self._requeue_unstarted(run)
                        self._dispatch(run)
                    elif not stopping:
                        stopping = True
                        watcher.note(STOPPING)
                        for worker in run.busy:
                            worker.request_stop()
                    with contextlib.suppress(queue.Empty):
                        if item := self._answers.get(timeout=POLL):
                            self._handle_answer(run, item[0], ANSWER.validate_json(item[1]))
                    self._check_timeouts(run, timeout)
            finally:
                for worker in [*run.busy]:
                    self._terminate(worker)
                    run.requeue(worker)
        if self._signals:
            raise Interrupted(self._signals[0])

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.close()
        self._workers, self._slots, self._silent = [], {}, set()
        self._launcher.close()

    # Dispatch --------------------------------------------------------------------------------------------

    def _dispatch(self, run: CellQueue) -> None:
        """Send waiting cells to idle workers, and to new ones as far as there is capacity."""
        while run.waiting and len(run.busy) < self.count:
            queued = run.take()
            if queued is None:
                return
            idle = [worker for worker in self._workers if worker not in run.busy]
            worker = idle[0] if idle else self._start_worker()
            run.assign(worker, queued)
            worker.send(
                CellRequest(
                    cell=queued.cell,
                    suite=run.suite,
                    setting=self._setting,
                    digests=run.digests[queued.cell.method],
                    root=run.store.root.absolute(),
                    seen=queued.seen,
                    share=self._options.share,
                    artifacts=self._launcher.artifacts,
                    devices=tuple(self._devices(worker)),
                    keep_features=self._options.resources.keep_features,
                )
            )

    def _requeue_unstarted(self, run: CellQueue) -> None:
        """Requeue the last cells of workers that have no node yet, and may have none for long."""
        if run.waiting or self._launcher.capacity is None:
            return
        idle = [worker for worker in self._workers if worker not in run.busy and worker not in self._silent]
        unstarted = [worker for worker in run.busy if worker in self._silent]
        for worker, _ in zip(unstarted, idle, strict=False):
            run.requeue(worker)
            self._forget(worker)
            worker.close()

    def _start_worker(self) -> WorkerHandle:
        worker = self._launcher.launch(self._answers, self._options.module)
        self._workers.append(worker)
        self._silent.add(worker)
        return worker

    def _devices(self, worker: WorkerHandle) -> list[int]:
        """Numbers of the accelerators that a worker is bound to, from its first cell on."""
        if worker not in self._slots:
            taken = {*self._slots.values()}
            self._slots[worker] = next(slot for slot in counting() if slot not in taken)
        return self._assigned[self._slots[worker] % len(self._assigned)]

    def _terminate(self, worker: WorkerHandle) -> str:
        """Kill a worker; the end of its log."""
        if worker not in self._workers:
            return ""
        self._forget(worker)
        worker.kill()
        log = worker.log_tail()
        worker.close()
        return log

    def _forget(self, worker: WorkerHandle) -> None:
        self._workers.remove(worker)
        self._slots.pop(worker, None)
        self._silent.discard(worker)

    # Answers ---------------------------------------------------------------------------------------------

    def _handle_answer(self, run: CellQueue, worker: WorkerHandle, answer: Answer) -> None:
        self._silent.discard(worker)
        queued = run.busy.get(worker)
        if queued is None:
            if isinstance(answer, Exited):
                self._terminate(worker)
            return
        match answer:
            case CellStarted():
                queued.started = time.monotonic()
            case CellProgress(phase=phase, done=done, total=total):
                queued.phase = f"{phase} {done} of {total}"
                run.watcher.progress(queued.cell, phase, done, total)
            case Note(text=text):
                run.watcher.note(f"{queued.cell.title}: {text}")
            case CellFinished(retires=retires):
                self._complete(run, worker, queued.cell, retires)
            case CellStopped():
                # On a request of this process or another one, or its code is too old: it does nothing more.
                self._terminate(worker)
                run.requeue(worker)
            case Failure(message=message):
                raise UserError(message)
            case Exited(node_lost=node_lost):
                self._handle_exit(run, worker, node_lost)

    def _handle_exit(self, run: CellQueue, worker: WorkerHandle, node_lost: bool) -> None:
        """Requeue a dead worker's cell; it has failed if the exit is likely to be the cell's doing."""
        queued = run.busy[worker]
        reason, log = worker.exit_reason(), self._terminate(worker)
        queued.exits += not node_lost
        queued.node_losses += node_lost
        if run.is_done(queued):
            run.complete(worker)
        elif (queued.exits < MAX_EXITS and queued.node_losses < MAX_NODE_LOSSES) or self._signals:
            if node_lost:
                run.watcher.note(f"{queued.cell.title}: {reason}; the cell begins again elsewhere")
            run.requeue(worker)
        else:
            run.fail(worker, reason, log, self._setting, self._environment)

    def _complete(self, run: CellQueue, worker: WorkerHandle, cell: Cell, retires: bool) -> None:
        record = run.complete(worker)
        timed = cell.setting is not None and record and record.outcome.status != "skipped"
        if timed or retires:
            # A timed cell begins in a fresh process, with no memory and nothing compiled from others; and so
            # does a cell after one that changed the state of its process.
            self._terminate(worker)

    def _check_timeouts(self, run: CellQueue, timeout: float | None) -> None:
        for worker, queued in [*run.busy.items()]:
            if timeout is not None and time.monotonic() - queued.started > timeout:
                log = self._terminate(worker)
                if run.is_done(queued):
                    # Its answer has waited, as for a page that was built meanwhile.
                    run.complete(worker)
                    continue
                reason = f"took longer than {timeout:g} s; was at: {queued.phase}"
                run.fail(worker, reason, log, self._setting, self._environment)
