"""Cells in jobs of Slurm, through submitit: an array of jobs that share one results folder by their claims.

The driver only watches; one that dies leaves the jobs at work, and the same command goes on from there.
"""

from __future__ import annotations

import contextlib
import json
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
from typing import Any

import submitit
from submitit.helpers import DelayedSubmission

from bench.core.errors import UserError
from bench.executors.protocol import Watcher
from bench.executors.slurm_job import write_work
from bench.executors.workers import Workers
from bench.processes.signals import STOPPING, Interrupted, interruptions
from bench.records.record import Digests
from bench.records.store import Store
from bench.spec.cell import Cell
from bench.spec.resources import Resources

LOOK = 1.0
"""Seconds between two looks at what jobs have told."""
ASK = 10.0
"""Seconds between two questions to Slurm, which answers many."""
NOTICE = 90
"""Seconds before its time limit at which a job is told to save what it has in hand."""
REQUEUES = 1000
"""Times that a job may meet its time limit: it has got on by each."""
LINES = 5
"""Lines of a failed job's log that are shown."""


class Share:
    """What a job runs; submitit calls `checkpoint` when the job is preempted, or its time is nearly over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, number: int) -> None:
        """Do a share of what the folder says, to the end of it."""
        command = [sys.executable, "-P", "-m", "bench.executors.slurm_job", str(self._folder), str(number)]
        path = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})
        # Not by waiting: while Python waits in it, a signal's handler could not wait too.
        while self._process.poll() is None:
            time.sleep(0.2)
        if self._process.returncode not in (0, 128 + signal.SIGTERM):
            raise SystemExit(self._process.returncode)

    def checkpoint(self, number: int) -> DelayedSubmission:
        """Save what is in hand; the share goes on when the job's turn comes again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(NOTICE * 2 / 3)
        return DelayedSubmission(Share(self._folder), number)


class Slurm:
    """Runs cells in job arrays."""

    def __init__(
        self, device: str, share: bool, resources: Resources, module: str = "bench.executors.worker"
    ) -> None:
        """Nothing is asked for yet.

        Raises:
            UserError: this machine has no Slurm.
        """
        if shutil.which("sbatch") is None:
            raise UserError(
                "--executor slurm needs Slurm's commands, and there is no sbatch here: log in to the cluster"
            )
        _slurm("sinfo", "--noheader")
        self._device, self._share, self._resources, self._module = device, share, resources, module
        self.count = resources.workers or 1

    def prepare(self, backbones: Sequence[str], note: Callable[[str], None]) -> None:
        """Fetch weights here, since jobs often have no network.

        Raises:
            UserError: a backbone is out of reach.
        """
        here = Workers("cpu", module=self._module)
        try:
            here.prepare(backbones, note)
        finally:
            here.close()

    def close(self) -> None:
        """Nothing is held."""

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
            Interrupted: by SIGINT or SIGTERM; the jobs were cancelled.
            UserError: Slurm refuses them, or they ended and cells are left.
        """
        if not cells:
            return
        folder = store.root.absolute() / "jobs" / f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        each = self._resources.cells_per_device
        seen = {cell.key: store.version_when_checked(cell.key) for cell in cells}
        write_work(
            folder, cells, seen, digests, store.root,
            suite=suite, device=self._device, share=self._share, count=each, timeout=timeout,
            devices_per_cell=self._resources.devices_per_cell,
            keep_features=self._resources.keep_features, module=self._module,
        )  # fmt: skip
        jobs = self._submit(folder, min(math.ceil(self.count / each), len(cells)))
        array = jobs[0].job_id.partition("_")[0]
        watcher.note(f"Slurm jobs {array}, {len(jobs)} of them; they write to {folder}")
        woken = threading.Event()
        with interruptions(woken.set) as heard:
            self._watch(Array(array, folder), cells, store, watcher, heard, woken)
        if heard:
            raise Interrupted(heard[0])

    def _watch(
        self,
        jobs: Array,
        cells: Sequence[Cell],
        store: Store,
        watcher: Watcher,
        heard: list[int],
        woken: threading.Event,
    ) -> None:
        """Pass on what the jobs tell, until nothing is left, neither of cells nor of jobs."""
        left = {cell.key: cell for cell in cells}
        asked, sent = -math.inf, 0
        alive = True
        while left and alive:
            woken.wait(LOOK)
            if sent < len(heard):
                woken.clear()
                sent = len(heard)
                jobs.cancel(at_once=sent > 1)
                watcher.note(STOPPING)
            if time.monotonic() - asked > ASK or heard:
                # Before what they tell is read: the last words of a job that is gone are heard.
                alive = jobs.look(watcher)
                asked = time.monotonic()
            for event in jobs.events():
                pass_on(event, left, store, watcher)
        if left and not heard:
            raise UserError(
                f"the jobs have ended and {len(left)} cells are left: {jobs.last_words()} "
                f"(logs in {jobs.folder})"
            )

    def _submit(self, folder: Path, count: int) -> list[Any]:
        executor = submitit.SlurmExecutor(folder, max_num_timeout=REQUEUES)
        asked = self._resources
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
            ],
            additional_parameters={"requeue": True},
            **{name: value for name, value in wanted.items() if value is not None},
        )
        try:
            return list(executor.map_array(Share(folder), range(count)))
        except submitit.core.utils.FailedJobError as error:
            said = " ".join(str(error).split())
            raise UserError(
                f"Slurm does not take the jobs: {said[:300]}; see [executor] of the suite"
            ) from None


class Array:
    """The jobs of one run: what Slurm says of them, and what they tell themselves."""

    def __init__(self, number: str, folder: Path) -> None:
        self.folder = folder
        self._number = number
        self._states: dict[str, str] = {}
        self._read: dict[Path, int] = {}

    def look(self, watcher: Watcher) -> bool:
        """Tell what is new of the jobs' states; whether any of them is there still."""
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

    def events(self) -> Iterator[dict[str, Any]]:
        """What jobs have told since the last time."""
        for path in sorted(self.folder.glob("events-*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                for line in file:
                    if line.endswith(b"\n"):
                        self._read[path] = self._read.get(path, 0) + len(line)
                        yield json.loads(line)

    def cancel(self, at_once: bool) -> None:
        """End them: by a SIGTERM that lets them save, or at once."""
        with contextlib.suppress(UserError):
            _slurm("scancel", *(["--signal=KILL"] if at_once else []), self._number)

    def last_words(self) -> str:
        """The end of the log that was written last."""
        logs = sorted(self.folder.glob("*.out"), key=lambda path: path.stat().st_mtime)
        lines = logs[-1].read_text(errors="replace").split("\n") if logs else []
        return " / ".join([line.strip() for line in lines if line.strip()][-LINES:]) or "they wrote no log"


def pass_on(event: dict[str, Any], left: dict[str, Cell], store: Store, watcher: Watcher) -> None:
    """Tell a watcher what a job has told."""
    match event:
        case {"what": "started", "key": key} if key in left:
            watcher.started(left[key])
        case {"what": "finished", "key": key} if key in left:
            record = store.read(key)
            if record is not None:
                del left[key]
                watcher.finished(record)
        case {"what": "note" | "error", "text": text}:
            watcher.note(text)


def _slurm(*command: str) -> str:
    """What one of Slurm's commands prints.

    Raises:
        UserError: it failed.
    """
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"Slurm does not answer: {command[0]} took more than a minute") from None
    if process.returncode:
        said = " ".join(process.stderr.split())
        raise UserError(f"Slurm's {command[0]} failed: {said[:300] or process.returncode}")
    return process.stdout
