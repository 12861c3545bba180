"""A process that runs cells for another one: `python -m bench.executors.worker`.

Requests come as lines of JSON on the standard input, answers go as lines of JSON to what was the standard
output; anything else that is printed goes to the standard error, which is the worker's log. The end of the
input means that the other process is gone, and ends this one at once.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from bench.core.errors import UserError
from bench.executors.placement import places
from bench.executors.queue import cannot_write
from bench.processes import stopping
from bench.processes.garbage import loading
from bench.processes.malloc import retain
from bench.records.record import Digests, Environment, Predictions, Record
from bench.records.store import Store
from bench.spec.cell import Cell, Setting

Request = dict[str, Any]

PAUSE = 0.1
"""Seconds between two reports of how far a cell is."""


class Worker:
    """Answers requests until there are no more."""

    def __init__(self, answers: TextIO) -> None:
        self._answers, self._one_at_a_time = answers, threading.Lock()
        self._last = 0.0
        self._where: Environment | None = None

    def say(self, **answer: Any) -> None:
        """One answer."""
        try:
            with self._one_at_a_time:
                self._answers.write(json.dumps(answer) + "\n")
                self._answers.flush()
        except BrokenPipeError:
            os._exit(1)

    def prepare(
        self, device: str, backbones: list[str], workers: int, per_cell: int, cells: int | None
    ) -> None:
        """Resolve the device and fetch weights; answers with the setting that cells will run in.

        Args:
            device: a name.
            backbones: whose weights are needed.
            workers: at once, on this machine.
            per_cell: devices of a cell.
            cells: cells that share an accelerator; None: which one a worker has is not this program's to say.
        """
        from bench.engine.cell.devices import check_several, numbers, resolve_device
        from bench.engine.cell.environment import default_threads
        from bench.networks.backbones import check_backbone, create_backbone, needs_hub

        found = resolve_device(device)
        room = places(workers, [] if cells is None else numbers(found), per_cell, cells or 1)
        threads = default_threads(max(1, len(room)) * per_cell)
        check_several(found, per_cell, threads)
        if len(room) < workers:
            self.say(
                what="note",
                text=f"{len(room)} of {workers} workers: {len(numbers(found))} {found.type} devices have no "
                "room for more cells at once (--cells-per-device N lets N share one)",
            )
        for backbone in backbones:
            check_backbone(backbone)
            if needs_hub(backbone):
                self.say(what="note", text=f"fetching the weights of {backbone} from the hub")
            create_backbone(backbone)
        setting = Setting(device=str(found), threads=threads, devices=per_cell)
        where = self.where(setting)
        self.say(what="ready", setting=setting.model_dump(), environment=where.model_dump(), places=room)

    def cell(self, request: Request) -> None:
        """Run a cell and store its record, unless somebody else was faster."""
        self.load()
        if request["devices"]:
            self.bind(request["devices"])
        # From here on its time counts.
        self.say(what="begun")
        setting = Setting(**request["setting"])
        try:
            record, predictions = self.work(
                Cell.model_validate(request["cell"]),
                request["suite"],
                setting,
                self.where(setting),
                Digests(**request["digests"]),
                request["share"],
                request["artifacts"],
                Path(request["root"]) / "checkpoints",
                tuple(request["devices"]),
                request["keep_features"],
            )
        except stopping.Stopped:
            self.say(what="stopped")
            return
        try:
            Store(request["root"]).write(record, predictions, request["seen"])
        except OSError as error:
            raise cannot_write(request["root"], error) from None
        self.say(what="finished")

    def bind(self, devices: list[int]) -> None:
        """Make the first of these accelerators this process's own."""
        from bench.engine.cell.devices import bind

        bind(devices)

    def where(self, setting: Setting) -> Environment:
        """This worker's own machine, which need not be that of the process that asks."""
        from bench.engine.cell.devices import resolve_device
        from bench.engine.cell.environment import where

        self._where = self._where or where(resolve_device(setting.device))
        return self._where

    def load(self) -> None:
        """Load the libraries that cells need."""
        import bench.engine.cell.runner  # noqa: F401

    def work(
        self,
        cell: Cell,
        suite: str,
        setting: Setting,
        where: Environment,
        digests: Digests,
        share: bool,
        artifacts: str | None,
        checkpoints: Path,
        devices: tuple[int, ...],
        keep_features: bool,
    ) -> tuple[Record, Predictions]:
        """The record of a cell, and its predictions."""
        from bench.engine.cell.runner import Context, run_cell
        from bench.engine.training.artifacts import Alone, Artifacts

        shared = Artifacts(Path(artifacts) if artifacts else None) if share else Alone()
        context = Context(suite, setting, where, shared, checkpoints, devices, keep_features)
        return run_cell(cell, context, digests, self.progress)

    def progress(self, what: str, done: int, total: int) -> None:
        """Say how far the cell is, if it was some time ago that anything was said."""
        if time.monotonic() - self._last > PAUSE:
            self._last = time.monotonic()
            self.say(what="progress", phase=what, done=done, total=total)


class Told(logging.Handler):
    """Passes warnings on."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(logging.WARNING)
        self._worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        self._worker.say(what="note", text=record.getMessage())


def requests() -> Iterator[Request]:
    """The requests that are to be done in their order; `stop` and the end of the input are heeded at once."""
    waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            request = json.loads(line)
            if request["do"] == "stop":
                stopping.stop()
            else:
                waiting.put(request)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield waiting.get()


def libraries(worker: Worker) -> None:
    """Load what cells need."""
    with loading():
        worker.load()


def serve(kind: type[Worker]) -> None:
    """Answer what comes in, to the end of it."""
    with contextlib.suppress(AttributeError):  # not on every system
        faulthandler.register(signal.SIGUSR1, all_threads=True)
    faulthandler.enable()
    retain()
    # The other process decides what an interruption from the terminal means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stopping.stop())
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = kind(answers)
    logging.getLogger("bench").addHandler(Told(worker))
    # Whoever asks still finds out what to ask, which takes as long where there are images to decode.
    threading.Thread(target=libraries, args=(worker,), daemon=True).start()
    for request in requests():
        try:
            if request.pop("do") == "prepare":
                worker.prepare(**request)
            else:
                worker.cell(request)
        except UserError as error:
            worker.say(what="error", message=str(error))


if __name__ == "__main__":
    serve(Worker)
