"""Cells in worker processes, which may raise, hang, run out of memory or die without taking the run along."""

from __future__ import annotations

import contextlib
import math
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bench.claims import LEASE, Claims
from bench.errors import UserError
from bench.executors.child import Answer, Answers, Child
from bench.executors.events import Watcher
from bench.record import Asked, Digests, Happened, Record, Where
from bench.store import Store
from bench.suite import Cell, Setting

TRIES = 2
"""Times that a cell may take its worker down before it has failed: the first may have been an accident."""

LOOK = 1.0
"""Seconds between two looks at clocks, and at cells that other processes work on."""


class Interrupted(Exception):
    """The run was asked to stop, and has."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum


@dataclass(eq=False)
class Job:
    """A cell that is to be done."""

    cell: Cell
    seen: str | None
    """The version of its record when it was found missing: another one means that somebody has done it."""
    tries: int = 0
    since: float = math.inf
    doing: str = ""

    @property
    def group(self) -> tuple[str, ...]:
        """Cells of a group are likely to share a source stage, which one of them trains."""
        cell = self.cell
        return cell.method, cell.backbone, str(cell.seed), str(cell.scenario.source)


@dataclass(eq=False)
class Run:
    """The cells of one run: waiting, and in the hands of a worker."""

    suite: str
    digests: Mapping[str, Digests]
    store: Store
    watcher: Watcher
    claims: Claims
    waiting: deque[Job]
    busy: dict[Child, Job] = field(default_factory=dict)


class Workers:
    """A number of worker processes on one device; they live on from run to run."""

    def __init__(
        self,
        device: str,
        count: int = 1,
        share: bool = True,
        module: str = "bench.executors.worker",
        lease: float = LEASE,
    ) -> None:
        self.device, self.count, self.share = device, count, share
        self._module, self._lease = module, lease
        self._answers: Answers = queue.SimpleQueue()
        # The first begins to load its libraries now; the others once it is known that they are needed.
        self._children = [Child(self._answers, module)]
        self._known: set[str] | None = None
        self._setting, self._where = Setting(), Where(python="", packages={}, platform="", cpu="")
        self._signals: list[int] = []

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
            first.ask(do="prepare", device=self.device, backbones=[*backbones], workers=self.count)
            if self._prepared(first, note, last):
                self._known = {*(self._known or ()), *backbones}
                return

    def _prepared(self, first: Child, note: Callable[[str], None], last: bool) -> bool:
        """Whether a worker has done so; one that died is no reason to give up, unless it was the last."""
        while True:
            found = self._answers.get()
            if found is None or found[0] is not first:
                continue
            match answer := found[1]:
                case {"what": "ready"}:
                    self._setting, self._where = Setting(**answer["setting"]), Where(**answer["where"])
                    return True
                case {"what": "note"}:
                    note(answer["text"])
                case {"what": "error"}:
                    raise UserError(answer["message"])
                case {"what": "gone"}:
                    why = first.death()
                    said = self._bury(first).splitlines()
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
    ) -> None:
        """Do each cell once, beside whoever else works on this folder; its record is stored when it is told.

        A cell that takes longer than `timeout` seconds is ended and has failed.

        Raises:
            Interrupted: by SIGINT or SIGTERM: cells in hand were finished, saved or, at the second, given up.
            UserError: the folder cannot be written any more.
        """
        jobs = deque(Job(cell, store.judged(cell.key)) for cell in cells)
        run = Run(suite, digests, store, watcher, Claims(store.root, self._lease), jobs)
        self._signals = []
        with self._listening():
            try:
                told = False
                while len(self._signals) < 2 and (run.busy or (run.waiting and not self._signals)):
                    if not self._signals:
                        self._hand_out(run)
                    elif not told:
                        told = True
                        watcher.note("stopping: cells in hand are finished or saved; once more stops at once")
                        for child in run.busy:
                            child.ask(do="stop")
                    with contextlib.suppress(queue.Empty):
                        if found := self._answers.get(timeout=LOOK):
                            self._heed(run, *found)
                    self._look_at_clocks(run, timeout)
            finally:
                for child in [*run.busy]:
                    self._bury(child)
                    self._give_up(run, child)
        if self._signals:
            raise Interrupted(self._signals[0])

    def close(self) -> None:
        """End the workers."""
        for child in self._children:
            child.close()
        self._children = []

    # Handing out -----------------------------------------------------------------------------------------

    def _hand_out(self, run: Run) -> None:
        while run.waiting and len(run.busy) < self.count:
            job = self._next(run)
            if job is None:
                return
            idle = [child for child in self._children if child not in run.busy]
            child = idle[0] if idle else self._new()
            run.busy[child] = job
            job.since, job.doing = math.inf, "start"
            run.watcher.started(job.cell)
            child.ask(
                do="cell",
                cell=job.cell.model_dump(mode="json"),
                suite=run.suite,
                setting=self._setting.model_dump(),
                where=self._where.model_dump(),
                digests=run.digests[job.cell.method].model_dump(),
                root=str(run.store.root.absolute()),
                seen=job.seen,
                share=self.share,
            )

    def _next(self, run: Run) -> Job | None:
        """A cell that nobody works on, claimed; what others have done meanwhile is struck off the list."""
        taken = {job.group for job in run.busy.values()}
        for job in sorted(run.waiting, key=lambda job: job.group in taken):
            key = job.cell.key
            if not run.claims.take(key):
                continue
            run.waiting.remove(job)
            if run.store.version(key) == job.seen:
                return job
            run.claims.release(key)
            record = run.store.read(key)
            if record is not None:
                run.watcher.elsewhere(record)
        return None

    def _new(self) -> Child:
        child = Child(self._answers, self._module)
        self._children.append(child)
        return child

    def _bury(self, child: Child) -> str:
        """End a worker; the end of its log."""
        if child not in self._children:
            return ""
        self._children.remove(child)
        child.kill()
        log = child.tail()
        child.close()
        return log

    # What happens meanwhile ------------------------------------------------------------------------------

    def _heed(self, run: Run, child: Child, answer: Answer) -> None:
        job = run.busy.get(child)
        if job is None:
            if answer["what"] == "gone":
                self._bury(child)
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
                self._settle(run, child)
            case {"what": "stopped"}:
                # It was asked to, by this process or another one, and will do nothing more.
                self._bury(child)
                self._give_up(run, child)
            case {"what": "error"}:
                raise UserError(answer["message"])
            case {"what": "gone"}:
                reason, log = child.death(), self._bury(child)
                job.tries += 1
                if run.store.version(job.cell.key) != job.seen:
                    self._settle(run, child)
                elif job.tries < TRIES or self._signals:
                    self._give_up(run, child)
                else:
                    self._fail(run, child, reason, log)

    def _give_up(self, run: Run, child: Child) -> None:
        """The cell of a worker that is no more is there for anybody."""
        job = run.busy.pop(child)
        run.claims.release(job.cell.key)
        run.waiting.appendleft(job)

    def _look_at_clocks(self, run: Run, timeout: float | None) -> None:
        for child, job in [*run.busy.items()]:
            if timeout is not None and time.monotonic() - job.since > timeout:
                log = self._bury(child)
                self._fail(run, child, f"took longer than {timeout:g} s; was at: {job.doing}", log)

    def _fail(self, run: Run, child: Child, reason: str, log: str) -> None:
        """Store the record of a cell that could not speak for itself."""
        job = run.busy[child]
        record = Record(
            key=job.cell.key,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            asked=Asked(cell=job.cell, setting=self._setting, suite=run.suite),
            happened=Happened(status="failed", reason=reason, log=log),
            digests=run.digests[job.cell.method],
            where=self._where,
        )
        try:
            run.store.write(record, {}, job.seen)
        except OSError as error:
            raise UserError(
                f"cannot write results to '{run.store.root}': {error.strerror or error}; "
                "what is recorded is kept"
            ) from None
        self._settle(run, child)

    def _settle(self, run: Run, child: Child) -> None:
        """A record is there."""
        job = run.busy.pop(child)
        record = run.store.read(job.cell.key)
        run.claims.release(job.cell.key)
        if record is not None:
            run.watcher.finished(record)

    # Interruptions ---------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Count SIGINT and SIGTERM, where this is the thread that gets them."""

        def heard(signum: int, frame: object) -> None:
            self._signals.append(signum)
            self._answers.put(None)

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.signal(s, heard) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
