"""Cells that take no time, through real workers, leases and a real store: `python -m tests.quick DIR CELLS`.

The behaviour of a cell is one of its overrides. Every cell leaves a line in `DIR/worked.txt`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.errors import UserError
from bench.executors.messages import CellRequest, Prepared, PrepareRequest
from bench.executors.placement import assign_devices
from bench.executors.protocol import ExecutorOptions
from bench.executors.worker import Worker
from bench.executors.worker_pool import WorkerPool
from bench.processes.server import serve
from bench.processes.signals import Interrupted, Stopped, stop_requested
from bench.records.record import Cost, Digests, Environment, Evaluation, Outcome, Predictions, Record, Request
from bench.records.store import Store
from bench.spec.cell import Budget, Cell, Scenario, Setting
from bench.spec.resources import Resources

TODAY = Digests(method="m", engine="e", dataset="d")


def quick_cell(seed: int = 0, **overrides: Any) -> Cell:
    """A question of which only the seed, and what its worker is to do, matter."""
    scenario = Scenario(
        kind="pretrained", dataset="d", target="t", target_classes=("a", "b"), shots=2, source_classes=()
    )
    return Cell(
        scenario=scenario,
        method="quick",
        overrides=overrides,
        backbone="none",
        image_size=32,
        augment="none",
        budget=Budget(steps=2, evaluations=1),
        seed=seed,
    )


def expected(cell: Cell) -> tuple[Record, Predictions]:
    """What the worker answers: a function of the cell alone."""
    random = np.random.default_rng(cell.seed)
    predictions = {
        "look0/target-test/logits": random.normal(size=(5, 2)).astype(np.float16),
        "target-test/labels": random.integers(2, size=5).astype(np.int16),
    }
    look = Evaluation(stage="target", step=1, accuracy={"target-test": float(random.random())})
    record = Record(
        key=cell.key,
        created="now",
        request=Request(cell=cell, setting=Setting(), suite="quick"),
        outcome=Outcome(status="done"),
        digests=TODAY,
        environment=Environment(python="", packages={}, platform="", cpu=""),
        cost=Cost(seconds={"data": 0.5}),
        evaluations=(look,),
        selected={"last": 0},
    )
    return record, predictions


class Quick(Worker):
    """A worker without torch."""

    def load(self) -> None:
        pass

    def prepare(self, request: PrepareRequest) -> None:
        devices = range(int(os.environ.get("BENCH_QUICK_DEVICES", "0")))
        cells = request.cells_per_device
        assigned = assign_devices(
            request.workers, [] if cells is None else devices, request.devices_per_cell, cells or 1
        )
        setting = Setting()
        self.send(Prepared(setting=setting, environment=self.environment(setting), devices=assigned))

    def bind(self, devices: tuple[int, ...]) -> None:
        with open(os.environ["BENCH_QUICK_LOG"] + ".devices", "a", encoding="utf-8") as log:
            log.write(f"{os.getpid()} {devices[0]}\n")

    def environment(self, setting: Setting) -> Environment:
        return Environment(python="", packages={}, platform="", cpu="")

    def work(self, request: CellRequest, environment: Environment) -> tuple[Record, Predictions]:
        cell = request.cell
        do = cell.overrides.get("do")
        with open(os.environ["BENCH_QUICK_LOG"], "a", encoding="utf-8") as log:
            log.write(f"{cell.key}\n")
        print(f"working on {cell.seed}")
        misbehave(str(do))
        match do:
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                sys.exit(3)
            case "hang":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(3600)
            case "die once":
                if Path(os.environ["BENCH_QUICK_LOG"]).read_text().count(cell.key) < 2:
                    os.kill(os.getpid(), signal.SIGKILL)
            case "slow":
                for _ in range(50):
                    self.progress("slow", 1, 2)
                    time.sleep(0.02)
            case "wait" | "finish" | "until":
                flag = Path(os.environ["BENCH_QUICK_LOG"] + ".over")
                over = flag.exists if do == "until" else stop_requested
                while not over():
                    self.progress(do, 1, 2)
                    time.sleep(0.02)
                if do == "wait":
                    raise Stopped
        time.sleep(float(cell.overrides.get("seconds", 0)))
        return expected(cell)


def misbehave(do: str) -> None:
    """Say something or start something, and end this process."""
    match do:
        case "say":
            print(os.environ["QUICK_SAYS"], flush=True)
            os._exit(5)
        case "loud":
            for _ in range(2000):
                os.write(2, b"x" * 10_000 + b"\n")
            os.write(2, b"the end\n")
            os._exit(5)
        case "start others":
            start_others()
        case "start others and die":
            start_others()
            os.kill(os.getpid(), signal.SIGKILL)


def start_others() -> None:
    """Start a process, one in a session of its own, and one in such whose parent ends; note their numbers."""
    log = os.environ["BENCH_QUICK_LOG"] + ".pids"
    sleep = "echo $$ >> $0; exec sleep 3600"
    for apart in (False, True):
        subprocess.Popen(["sh", "-c", sleep, log], stdin=subprocess.DEVNULL, start_new_session=apart)
    subprocess.run(["sh", "-c", f"setsid sh -c '{sleep}' $0 & sleep 0.1", log], check=True)
    while len(Path(log).read_text().split()) % 3:
        time.sleep(0.01)


class RecordingWatcher:
    """Watcher that keeps records and notes."""

    def __init__(self, loud: bool = False) -> None:
        self._loud = loud
        self.records: list[Record] = []
        self.from_elsewhere: list[Record] = []
        self.notes: list[str] = []
        self.on_progress = lambda: None

    def started(self, cell: Cell) -> None:
        pass

    def progress(self, cell: Cell, what: str, done: int, total: int) -> None:
        self.on_progress()

    def finished(self, record: Record) -> None:
        self.records.append(record)
        if self._loud:
            # Whoever hears of this line may count on the record.
            print(f"stored {record.key} {record.outcome.status}", flush=True)

    def elsewhere(self, record: Record) -> None:
        self.from_elsewhere.append(record)

    def note(self, text: str) -> None:
        self.notes.append(text)


def quick_options(workers: int | None = None, **resources: Any) -> ExecutorOptions:
    """Options of an executor whose workers are quick."""
    return ExecutorOptions(
        device="cpu", module="tests.quick", resources=Resources(workers=workers, **resources)
    )


def quick_pool(workers: int = 1, **resources: Any) -> WorkerPool:
    """Pool of quick workers on this machine."""
    return WorkerPool(quick_options(workers, **resources))


def run_quick(
    root: Path,
    cells: Sequence[Cell],
    workers: int = 1,
    timeout: float | None = None,
    retry_failed: bool = False,
    loud: bool = False,
) -> RecordingWatcher:
    """Run cells in a folder to the end."""
    os.environ["BENCH_QUICK_LOG"] = str(root.absolute() / "worked.txt")
    store, watcher = Store(root), RecordingWatcher(loud)
    store.prepare()
    pool = quick_pool(workers)
    try:
        pool.prepare(["none"], print)
        todo, _ = store.missing(cells, {"quick": TODAY}, retry_failed=retry_failed)
        pool.run(todo, "quick", {"quick": TODAY}, store, watcher, timeout)
    finally:
        pool.close()
    return watcher


def age(root: Path) -> None:
    """Make all files as old as if nobody had written for a day: `gc` spares recent ones."""
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - 86400,) * 2)


def worked(root: Path) -> list[str]:
    """Keys of the cells that were worked on, once for each time."""
    path = root / "worked.txt"
    return path.read_text().split() if path.exists() else []


def main(folder: str, count: str, seconds: str = "0", workers: str = "1") -> None:
    """Run a number of cells, several at once."""
    cells = [quick_cell(seed, seconds=float(seconds)) for seed in range(int(count))]
    with contextlib.suppress(BrokenPipeError):
        try:
            run_quick(Path(folder), cells, int(workers), retry_failed=True, loud=True)
        except Interrupted as stop:
            sys.exit(128 + stop.signum)
        except UserError as error:
            print(error, file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(*sys.argv[1:])
    else:
        serve(Quick)
