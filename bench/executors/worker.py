"""Worker process that runs cells for another process: `python -m bench.executors.worker`."""

from __future__ import annotations

import time
from typing import TextIO

from bench.core.errors import OldProcess, UserError
from bench.core.text import counted
from bench.executors.messages import (
    REQUEST,
    CellFinished,
    CellProgress,
    CellRequest,
    CellStarted,
    CellStopped,
    Prepared,
    PrepareRequest,
)
from bench.executors.placement import assign_devices
from bench.executors.protocol import TrialImages
from bench.executors.queue import cannot_write
from bench.processes.protocol import Note
from bench.processes.server import Server, serve
from bench.processes.signals import Stopped
from bench.records.record import Environment, Predictions, Record
from bench.records.store import Store
from bench.spec.cell import Setting

PAUSE = 0.1
"""Seconds between two reports of a cell's progress."""


class Worker(Server):
    """Runs cells, one at a time."""

    def __init__(self, answers: TextIO) -> None:
        super().__init__(answers)
        self._reported = 0.0
        self._environment: Environment | None = None
        self._retires = False

    def handle(self, request: str) -> None:
        """Do a request.

        Raises:
            UserError: the device or a backbone is out of reach, or the record cannot be written.
        """
        match REQUEST.validate_json(request):
            case PrepareRequest() as prepare:
                self.prepare(prepare)
            case CellRequest() as cell:
                self.run(cell)

    def prepare(self, request: PrepareRequest) -> None:
        """Resolve the device and fetch weights; answers with the setting that cells will run in."""
        from bench.engine.cell.devices import check_several, numbers, resolve_device
        from bench.engine.cell.environment import default_threads
        from bench.networks.backbones.create import check_backbone, create_backbone
        from bench.networks.backbones.weights import fetched_from

        device, per_cell, cells = (
            resolve_device(request.device),
            request.devices_per_cell,
            request.cells_per_device,
        )
        assigned = assign_devices(
            request.workers, [] if cells is None else numbers(device), per_cell, cells or 1
        )
        threads = default_threads(max(1, len(assigned)) * per_cell)
        check_several(device, per_cell, threads)
        if len(assigned) < request.workers:
            there = counted(len(numbers(device)), f"{device.type} device")
            text = f"{len(assigned)} of {request.workers} workers: {there} and no room for more cells at once"
            text += " (--cells-per-device N lets N share one)"
            self.send(Note(text=text))
        faults: list[str] = []
        for backbone in request.backbones:
            check_backbone(backbone)
            if place := fetched_from(backbone):
                self.send(Note(text=f"fetching the weights of {backbone} from {place}"))
            if request.images is not None and (found := self.tried(backbone, request.images)):
                faults += found
                continue
            create_backbone(backbone)
        if faults and len(faults) == len(request.backbones):
            raise UserError("; ".join(faults))
        for fault in faults:
            self.send(Note(text=f"{fault}; its cells will fail"))
        setting = Setting(device=str(device), threads=threads, devices=per_cell)
        self.send(Prepared(setting=setting, environment=self.environment(setting), devices=assigned))

    def tried(self, name: str, images: TrialImages) -> list[str]:
        """Try a network on images; returns the fault, if any, and notes what training will meet."""
        from bench.networks.backbones.create import check_batch_size, check_image_size

        try:
            check_image_size(name, images.image_size)
        except UserError as error:
            return [str(error)]
        try:
            check_batch_size(name, images.image_size, images.batch_size)
        except UserError as error:
            # Methods that leave it frozen can do without.
            self.send(Note(text=f"{error}; methods that train it will fail"))
        return []

    def run(self, request: CellRequest) -> None:
        """Run a cell and store its record, unless another process was faster."""
        self.load()
        if request.devices:
            self.bind(request.devices)
        self.send(CellStarted())
        try:
            record, predictions = self.work(request, self.environment(request.setting))
        except (Stopped, OldProcess):
            self.send(CellStopped())
            return
        try:
            Store(request.root).write(record, predictions, request.seen)
        except OSError as error:
            raise cannot_write(request.root, error) from None
        self.send(CellFinished(retires=self._retires))

    def bind(self, devices: tuple[int, ...]) -> None:
        """Make the first of these accelerators this process's own."""
        from bench.engine.cell.devices import bind

        bind(devices)

    def environment(self, setting: Setting) -> Environment:
        """Describe this worker's machine, which need not be that of the process that sends requests."""
        from bench.engine.cell.devices import resolve_device
        from bench.engine.cell.environment import where

        self._environment = self._environment or where(resolve_device(setting.device))
        return self._environment

    def load(self) -> None:
        """Import the libraries that cells need."""
        from bench.engine.cell.digests import note_code

        note_code()
        import bench.engine.cell.runner  # noqa: F401

    def work(self, request: CellRequest, environment: Environment) -> tuple[Record, Predictions]:
        """Run a cell; its record and predictions."""
        from bench.engine.cell.runner import Context, run_cell
        from bench.engine.training.artifacts import Alone, Artifacts

        context = Context(
            request.suite,
            request.setting,
            environment,
            Artifacts(request.artifacts) if request.share else Alone(),
            request.root / "checkpoints",
            request.devices,
            request.keep_features,
            self.retire,
        )
        return run_cell(request.cell, context, request.digests, self.progress)

    def retire(self) -> None:
        """Run no other cell in this process, which one has changed."""
        self._retires = True

    def progress(self, phase: str, done: int, total: int) -> None:
        """Report a cell's progress, unless the last report was just now."""
        if time.monotonic() - self._reported > PAUSE:
            self._reported = time.monotonic()
            self.send(CellProgress(phase=phase, done=done, total=total))


if __name__ == "__main__":
    serve(Worker)
