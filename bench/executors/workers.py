"""Cells in worker processes, which may raise, hang, run out of memory or die without taking the run along."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count as counting

from bench.core.errors import UserError
from bench.executors.protocol import Watcher
from bench.executors.queue import Jobs
from bench.processes.local import LocalLauncher
from bench.processes.protocol import Answer, Answers, Launcher, WorkerHandle
from bench.processes.signals import STOPPING, Interrupted, interruptions
from bench.records.leases import LEASE, Leases
from bench.records.record import Digests, Environment
from bench.records.store import Store
from bench.spec.cell import Cell, Setting

TRIES = 2
"""Times that a cell may take its worker down before it has failed: the first may have been an accident."""

LOSSES = 8
"""Nodes that may be lost under a cell before it has failed; that is seldom the cell's doing."""

LOOK = 1.0
"""Seconds between two looks at clocks, and at cells that other processes work on."""


class Workers:
    """A number of worker processes on one kind of device; they live on from run to run."""

    def __init__(
        self,
        device: str,
        count: int | None = 1,
        share: bool = True,
        module: str = "bench.executors.worker",
        lease: float = LEASE,
        launcher: Launcher | None = None,
        devices_per_cell: int = 1,
        cells_per_device: int | None = None,
        keep_features: bool = False,
    ) -> None:
        """Args:
        count: how many at most; None: as many as there is room for.
        cells_per_device: bind so many workers to each accelerator of this machine; None: bind none.
        """
        self.device, self.share, self.keep_features = device, share, keep_features
        self._module, self._lease, self._launcher = module, lease, launcher or LocalLauncher()
        self._most = count
        self._per_cell, self._cells = devices_per_cell, cells_per_device
        self._places: list[list[int]] = [[]]
        self._taken: dict[WorkerHandle, int] = {}
        self._answers: Answers = queue.SimpleQueue()
        self._children: list[WorkerHandle] = []
        self._fresh: set[WorkerHandle] = set()
        """Those that have not answered yet."""
        # The first begins to load its libraries now; the others once it is known that they are needed.
        self._new()
        self._known: set[str] | None = None
        self._setting, self._where = Setting(), Environment(python="", packages={}, platform="", cpu="")
        self._signals: list[int] = []

    @property
    def count(self) -> int:
        """Cells at once, with the room that there is now."""
        room = self._launcher.room
        return min((limit for limit in (self._most, room) if limit is not None), default=1)

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes that are there now."""
        return [child.pid for child in self._children]

    def prepare(self, backbones: Sequence[str], note: Callable[[str], None]) -> None:
        """Resolve the device and fetch weights, in the first worker; `note` is called with what it says.

        Raises:
            UserError: the device or a backbone is out of reach.
        """
        if self._known is not None and self._known.issuperset(backbones):
            return
        for last in (False, True):
            first = self._children[0] if self._children else self._new()
            first.ask(
                do="prepare",
                device=self.device,
                backbones=[*backbones],
                workers=self.count or 1,
                per_cell=self._per_cell,
                cells=self._cells,
            )
            if self._prepared(first, note, last):
                self._known = {*(self._known or ()), *backbones}
                return

    def _prepared(self, first: WorkerHandle, note: Callable[[str], None], last: bool) -> bool:
        """Whether a worker has done so; one that died is no reason to give up, unless it was the last."""
        while True:
            found = self._answers.get()
            if found is None or found[0] is not first:
                continue
            self._fresh.discard(first)
            match answer := found[1]:
                case {"what": "ready"}:
                    self._setting, self._where = (
                        Setting(**answer["setting"]),
                        Environment(**answer["environment"]),
                    )
                    self._places = answer["places"]
                    if self._cells is not None:
                        self._most = len(self._places)
                    return True
                case {"what": "note"}:
                    note(answer["text"])
                case {"what": "error"}:
                    raise UserError(answer["message"])
                case {"what": "gone" | "lost"}:
                    why = first.death()
                    said = self._terminate(first).splitlines()
                    if last:
                        raise UserError(f"a worker process did not start: {said[-1] if said else why}")
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
        """Do each cell once, beside whoever else works on this folder; its record is stored when it is told.

        A cell that takes longer than `timeout` seconds is ended and has failed. `seen` are the versions of
        the cells' records when the work was asked for, if that was before now.

        Raises:
            Interrupted: by SIGINT or SIGTERM: cells in hand were finished, saved or, at the second, given up.
            UserError: the folder cannot be written any more, or not from everywhere.
        """
        self._launcher.check(store.root)
        claims = Leases(store.root, self._lease)
        run = Jobs(cells, suite, digests, store, watcher, claims, seen)
        with interruptions(lambda: self._answers.put(None)) as self._signals:
            try:
                told = False
                while len(self._signals) < 2 and (run.busy or (run.waiting and not self._signals)):
                    for line in self._launcher.news():
                        watcher.note(line)
                    if not self._signals:
                        self._take_back(run)
                        self._hand_out(run)
                    elif not told:
                        told = True
                        watcher.note(STOPPING)
                        for child in run.busy:
                            child.ask(do="stop")
                    with contextlib.suppress(queue.Empty):
                        if found := self._answers.get(timeout=LOOK):
                            self._heed(run, *found)
                    self._look_at_clocks(run, timeout)
            finally:
                for child in [*run.busy]:
                    self._terminate(child)
                    run.give_up(child)
        if self._signals:
            raise Interrupted(self._signals[0])

    def close(self) -> None:
        """End the workers."""
        for child in self._children:
            child.close()
        self._children, self._taken, self._fresh = [], {}, set()
        self._launcher.close()

    # Handing out -----------------------------------------------------------------------------------------

    def _hand_out(self, run: Jobs) -> None:
        artifacts = self._launcher.artifacts
        while run.waiting and len(run.busy) < self.count:
            job = run.next()
            if job is None:
                return
            idle = [child for child in self._children if child not in run.busy]
            child = idle[0] if idle else self._new()
            run.begin(child, job)
            child.ask(
                do="cell",
                cell=job.cell.model_dump(mode="json"),
                suite=run.suite,
                setting=self._setting.model_dump(),
                digests=run.digests[job.cell.method].model_dump(),
                root=str(run.store.root.absolute()),
                seen=job.seen,
                share=self.share,
                artifacts=None if artifacts is None else str(artifacts),
                devices=self._devices(child),
                keep_features=self.keep_features,
            )

    def _take_back(self, run: Jobs) -> None:
        """The last cells do not wait for workers that have no place yet, and may have none for long."""
        if run.waiting or self._launcher.room is None:
            return
        idle = [child for child in self._children if child not in run.busy and child not in self._fresh]
        late = [child for child in run.busy if child in self._fresh]
        for child, _ in zip(late, idle, strict=False):
            run.give_up(child)
            self._forget(child)
            child.close()

    def _new(self) -> WorkerHandle:
        child = self._launcher.launch(self._answers, self._module)
        self._children.append(child)
        self._fresh.add(child)
        return child

    def _devices(self, child: WorkerHandle) -> list[int]:
        """Numbers of the accelerators that a worker is bound to, from its first cell on."""
        if child not in self._taken:
            taken = {*self._taken.values()}
            self._taken[child] = next(place for place in counting() if place not in taken)
        return self._places[self._taken[child] % len(self._places)]

    def _terminate(self, child: WorkerHandle) -> str:
        """End a worker; the end of its log."""
        if child not in self._children:
            return ""
        self._forget(child)
        child.kill()
        log = child.tail()
        child.close()
        return log

    def _forget(self, child: WorkerHandle) -> None:
        self._children.remove(child)
        self._taken.pop(child, None)
        self._fresh.discard(child)

    # What happens meanwhile ------------------------------------------------------------------------------

    def _heed(self, run: Jobs, child: WorkerHandle, answer: Answer) -> None:
        self._fresh.discard(child)
        job = run.busy.get(child)
        if job is None:
            if answer["what"] in ("gone", "lost"):
                self._terminate(child)
            return
        match answer:
            case {"what": "begun"}:
                job.since = time.monotonic()
            case {"what": "progress"}:
                job.doing = f"{answer['phase']} {answer['done']} of {answer['total']}"
                run.watcher.progress(job.cell, answer["phase"], answer["done"], answer["total"])
            case {"what": "note"}:
                run.watcher.note(f"{job.cell.title}: {answer['text']}")
            case {"what": "finished"}:
                self._finished(run, child, job.cell)
            case {"what": "stopped"}:
                # It was asked to, by this process or another one, and will do nothing more.
                self._terminate(child)
                run.give_up(child)
            case {"what": "error"}:
                raise UserError(answer["message"])
            case {"what": "gone" | "lost" as how}:
                self._died(run, child, how == "lost")

    def _died(self, run: Jobs, child: WorkerHandle, lost: bool) -> None:
        """A worker is no more; its cell has failed if that is likely to be the cell's doing."""
        job = run.busy[child]
        reason, log = child.death(), self._terminate(child)
        job.tries += not lost
        job.losses += lost
        if run.is_done(job):
            run.settle(child)
        elif (job.tries < TRIES and job.losses < LOSSES) or self._signals:
            if lost:
                run.watcher.note(f"{job.cell.title}: {reason}; the cell begins again elsewhere")
            run.give_up(child)
        else:
            run.fail(child, reason, log, self._setting, self._where)

    def _finished(self, run: Jobs, child: WorkerHandle, cell: Cell) -> None:
        record = run.settle(child)
        if cell.setting is not None and record and record.outcome.status != "skipped":
            # A timed cell begins in a fresh process, with no memory and nothing compiled from others.
            self._terminate(child)

    def _look_at_clocks(self, run: Jobs, timeout: float | None) -> None:
        for child, job in [*run.busy.items()]:
            if timeout is not None and time.monotonic() - job.since > timeout:
                log = self._terminate(child)
                reason = f"took longer than {timeout:g} s; was at: {job.doing}"
                run.fail(child, reason, log, self._setting, self._where)
