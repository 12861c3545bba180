"""Slurm job arrays, through submitit: their tasks share the cells of one results folder by leases.

The driver only watches; one that dies leaves the jobs at work, and the same command goes on from there.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import submitit
from submitit.helpers import DelayedSubmission

from bench.core.errors import UserError
from bench.executors.messages import JobEvent, WorkItem
from bench.executors.protocol import ExecutorOptions, TrialImages, Watcher
from bench.executors.slurm_job import write_work
from bench.executors.worker_pool import WorkerPool
from bench.processes.openmp import waiting
from bench.processes.signals import STOPPING, Interrupted, interruptions
from bench.records.record import Digests
from bench.records.store import Store
from bench.spec.cell import Cell

POLL = 1.0
"""Seconds between two polls of the jobs' events."""
STATE_POLL = 10.0
"""Seconds between two queries of Slurm, which serves many users."""
NOTICE = 90
"""Seconds before its time limit at which a job is told to save its cells in hand."""
REQUEUES = 1000
"""Times that a job may meet its time limit: it has got on by each."""
LINES = 5
"""Lines of a failed job's log that are shown."""


class ArrayTask:
    """Function of a job; submitit calls `checkpoint` when it is preempted, or its time is nearly over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, number: int) -> None:
        """Run array task `number` of the work in the folder."""
        command = [sys.executable, "-P", "-m", "bench.executors.slurm_job", str(self._folder), str(number)]
        path = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})
        # Not by waiting: while Python waits in it, a signal's handler could not wait too.
        while self._process.poll() is None:
            time.sleep(0.2)
        if self._process.returncode not in (0, 128 + signal.SIGTERM):
            raise SystemExit(self._process.returncode)

    def checkpoint(self, number: int) -> DelayedSubmission:
        """Save cells in hand; the task goes on when the job's turn comes again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(NOTICE * 2 / 3)
        return DelayedSubmission(ArrayTask(self._folder), number)


class Slurm:
    """Runs cells in job arrays."""

    def __init__(self, options: ExecutorOptions) -> None:
        """Check that Slurm is there; nothing is submitted yet.

        Raises:
            UserError: this machine has no Slurm.
        """
        if shutil.which("sbatch") is None:
            raise UserError(
                "--executor slurm needs Slurm's commands, and there is no sbatch here: log in to the cluster"
            )
        _slurm("sinfo", "--noheader")
        self._options = options
        self.count = options.resources.workers or 1

    def prepare(
        self, backbones: Sequence[str], note: Callable[[str], None], images: TrialImages | None = None
    ) -> None:
        """Fetch weights here, since jobs often have no network, and try them on images.

        Raises:
            UserError: a backbone is out of reach, or none can take the images.
        """
        local = WorkerPool(ExecutorOptions(device="cpu", module=self._options.module))
        try:
            local.prepare(backbones, note, images)
        finally:
            local.close()

    def close(self) -> None:
        """Release no resources: none are held."""

    def run(
        self,
        cells: Sequence[Cell],
        suite: str,
        digests: Mapping[str, Digests],
        store: Store,
        watcher: Watcher,
        timeout: float | None = None,
    ) -> None:
        """Do each cell once, in jobs.

        Raises:
            Interrupted: by SIGINT, SIGTERM or SIGHUP; the jobs were cancelled.
            UserError: Slurm refuses them, or they ended and cells are left.
        """
        if not cells:
            return
        folder = store.root.absolute() / "jobs" / f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        each = self._options.resources.cells_per_device
        resources = self._options.resources.model_copy(update={"workers": each})
        work = WorkItem(
            root=store.root.absolute(),
            cells=tuple(cells),
            suite=suite,
            seen={cell.key: store.version_when_checked(cell.key) for cell in cells},
            digests=dict(digests),
            options=self._options.model_copy(update={"resources": resources}),
            timeout=timeout,
        )
        write_work(folder, work)
        jobs = self._submit(folder, min(math.ceil(self.count / each), len(cells)))
        array = jobs[0].job_id.partition("_")[0]
        watcher.note(f"Slurm jobs {array}, {len(jobs)} of them; they write to {folder}")
        woken = threading.Event()
        with interruptions(woken.set) as signals:
            self._watch(JobArray(array, folder), cells, store, watcher, signals, woken)
        if signals:
            raise Interrupted(signals[0])

    def _watch(
        self,
        jobs: JobArray,
        cells: Sequence[Cell],
        store: Store,
        watcher: Watcher,
        signals: list[int],
        woken: threading.Event,
    ) -> None:
        """Report events of the jobs, until no cell is left or no job."""
        left = {cell.key: cell for cell in cells}
        polled, sent = -math.inf, 0
        alive = True
        while left and alive:
            woken.wait(POLL)
            if sent < len(signals):
                woken.clear()
                sent = len(signals)
                jobs.cancel(at_once=sent > 1)
                watcher.note(STOPPING)
            if time.monotonic() - polled > STATE_POLL or signals:
                # Before events are read: the last ones of a job that is gone are among them.
                alive = jobs.poll(watcher)
                polled = time.monotonic()
            for event in jobs.events():
                report(event, left, store, watcher)
        if left and not signals:
            raise UserError(
                f"the jobs have ended and {len(left)} cells are left: {jobs.log_tail()} "
                f"(logs in {jobs.folder})"
            )

    def _submit(self, folder: Path, count: int) -> list[submitit.Job[None]]:
        executor = submitit.SlurmExecutor(folder, max_num_timeout=REQUEUES)
        asked = self._options.resources
        memory = (
            f"{math.ceil((asked.memory_gb or 0) * 1024 * asked.cells_per_device)}MB"
            if asked.memory_gb
            else None
        )
        wanted = {
            "partition": asked.partition,
            "account": asked.account,
            "mem": memory,
            "gpus_per_node": asked.gpus * asked.devices_per_cell or None,
        }
        executor.update_parameters(
            job_name="transfer-bench",
            time=asked.minutes,
            cpus_per_task=asked.cpus_per_cell * asked.cells_per_device,
            signal_delay_s=NOTICE,
            stderr_to_stdout=True,
            setup=[
                f"export PYTHONPATH={shlex.quote(os.pathsep.join(filter(None, sys.path)))}",
                f"export OMP_NUM_THREADS={asked.threads_per_device}",
                *(f"export {name}={shlex.quote(value)}" for name, value in waiting().items()),
            ],
            additional_parameters={"requeue": True},
            **{name: value for name, value in wanted.items() if value is not None},
        )
        try:
            return list(executor.map_array(ArrayTask(folder), range(count)))
        except submitit.core.utils.FailedJobError as error:
            message = " ".join(str(error).split())
            raise UserError(
                f"Slurm does not take the jobs: {message[:300]}; see [executor] of the suite"
            ) from None


class JobArray:
    """Jobs of one run: their states in Slurm, and the events that they report."""

    def __init__(self, number: str, folder: Path) -> None:
        self.folder = folder
        self._number = number
        self._states: dict[str, str] = {}
        self._read: dict[Path, int] = {}

    def poll(self, watcher: Watcher) -> bool:
        """Note changes of the jobs' states; return False once none of them is left."""
        try:
            lines = _slurm(
                "squeue", "--noheader", "--array", f"--jobs={self._number}", "--format=%i|%T|%r|%N"
            )
        except UserError as error:
            # Of jobs that ended long ago Slurm knows nothing; that it does not answer is no reason to end.
            if "Invalid job id" in str(error):
                return False
            watcher.note(str(error))
            return True
        now = {}
        for line in lines.splitlines():
            job, state, reason, node = line.strip().split("|")
            now[job] = state.lower() + (f" on {node}" if node else f" ({reason})")
        for job in {**now, **self._states}:
            if now.get(job) != self._states.get(job):
                watcher.note(f"job {job}: {now.get(job, 'ended')}")
        self._states = now
        return bool(now)

    def events(self) -> Iterator[JobEvent]:
        """Events that the jobs have reported since the last call."""
        for path in sorted(self.folder.glob("events-*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                for line in file:
                    if line.endswith(b"\n"):
                        self._read[path] = self._read.get(path, 0) + len(line)
                        yield JobEvent.model_validate_json(line)

    def cancel(self, at_once: bool) -> None:
        """Cancel them: by a SIGTERM that lets them save, or at once."""
        with contextlib.suppress(UserError):
            _slurm("scancel", *(["--signal=KILL"] if at_once else []), self._number)

    def log_tail(self) -> str:
        """End of the log that was written last."""
        logs = sorted(self.folder.glob("*.out"), key=lambda path: path.stat().st_mtime)
        lines = logs[-1].read_text(errors="replace").split("\n") if logs else []
        return " / ".join([line.strip() for line in lines if line.strip()][-LINES:]) or "they wrote no log"


def report(event: JobEvent, left: dict[str, Cell], store: Store, watcher: Watcher) -> None:
    """Report an event of a job to a watcher, unless its cell is done."""
    match event:
        case JobEvent(kind="started", key=key) if key in left:
            watcher.started(left[key])
        case JobEvent(kind="finished", key=key) if key in left:
            record = store.latest(key)
            if record is not None:
                del left[key]
                watcher.finished(record)
        case JobEvent(kind="note" | "error", text=text):
            watcher.note(text)


def _slurm(*command: str) -> str:
    """Run one of Slurm's commands; its output.

    Raises:
        UserError: it failed.
    """
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"Slurm does not answer: {command[0]} took more than a minute") from None
    if process.returncode:
        message = " ".join(process.stderr.split())
        raise UserError(f"Slurm's {command[0]} failed: {message[:300] or process.returncode}")
    return process.stdout
