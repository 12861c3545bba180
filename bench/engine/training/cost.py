"""Cost of a cell: seconds by phases that exclude each other, items, memory, energy, calibration."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import psutil
import torch

from bench.engine.training.throughput import ThroughputMeter, synchronise
from bench.processes.malloc import trim
from bench.records.record import Cost, StageCost


class Phases:
    """Wall seconds by phase. A phase inside another one stops the outer one's clock."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._device = device
        self._running: list[str] = []
        self._since = 0.0

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time the block under `name`."""
        self._switch()
        self._running.append(name)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def now(self) -> dict[str, float]:
        """The seconds until this moment."""
        self._switch()
        return dict(self.seconds)

    def _switch(self) -> None:
        synchronise(self._device)
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now


STAGE = "train "
"""Prefix of the phases in which stages train."""


@dataclass
class StageResult:
    """Result of training a stage: its cost, and what the record says of it.

    seconds: wall time of training alone.
    items: items trained on, by stream: `labelled` in batches, `fitted` in one go, `replayed`, `unlabelled`.
    details: findings of the method, by name.
    """

    seconds: float = 0.0
    items: dict[str, int] = field(default_factory=dict)
    parameters_trained: int = 0
    devices: int = 1
    details: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class CostTracker:
    """Cost of a cell while it runs: its own seconds, and those that the artifacts it shares had taken."""

    def __init__(self, device: torch.device, timed: bool = False) -> None:
        """Start the clocks; with `timed` steps wait for the device, so that each can be timed."""
        self.phases = Phases(device)
        self.throughput = ThroughputMeter(device, timed)
        self.parameters = 0
        self._memory = PeakMemory(device)
        self._on_accelerator = device.type != "cpu"
        self._shared: dict[str, float] = defaultdict(float)
        self._items: dict[str, Counter[str]] = defaultdict(Counter)
        self._parameters_trained = 0
        self._devices = 1

    @contextlib.contextmanager
    def timed(self, phase: str) -> Iterator[Callable[[], float]]:
        """Time a block as a phase; gives a function that returns the seconds of this block alone."""
        before = self.phases.seconds[phase]
        self.throughput.energy.poll()
        with self.phases(phase):
            yield lambda: self.phases.seconds[phase] - before

    def stage(self, name: str) -> contextlib.AbstractContextManager[Callable[[], float]]:
        """Time a block as training of a stage, as `timed` does."""
        return self.timed(STAGE + name)

    def add_shared(self, phase: str, seconds: float) -> None:
        """Add seconds that another cell spent."""
        self._shared[phase] += seconds

    def add_stage(self, name: str, result: StageResult, shared: bool) -> None:
        """Add what a stage was trained on; with `shared`, its seconds too, which another cell spent."""
        if shared:
            self.add_shared(STAGE + name, result.seconds)
        self._items[name].update(result.items)
        self._parameters_trained = max(self._parameters_trained, result.parameters_trained)
        self._devices = max(self._devices, result.devices)

    def total(self) -> Cost:
        """Cost of the cell until now, in the schema of records."""
        own, shared = self.phases.seconds, self._shared
        phases = [*own, *shared]
        names = dict.fromkeys([p.removeprefix(STAGE) for p in phases if p.startswith(STAGE)] + [*self._items])
        # That of the first of several accelerators would look like a saving.
        alone = self._devices == 1 or not self._on_accelerator
        return Cost(
            seconds={phase: s for phase, s in own.items() if not phase.startswith(STAGE)},
            shared_seconds={phase: s for phase, s in shared.items() if not phase.startswith(STAGE)},
            stages={
                name: StageCost(
                    seconds=own.get(STAGE + name, 0.0),
                    shared_seconds=shared.get(STAGE + name, 0.0),
                    items=dict(self._items.get(name, {})),
                )
                for name in names
            },
            parameters=self.parameters,
            parameters_trained=self._parameters_trained,
            devices=self._devices,
            peak_memory_bytes=self._memory.read(),
            steps=self.throughput.steps(),
            predictions_per_second=self.throughput.predictions_per_second,
            flops_per_step=self.throughput.flops,
            energy_joules=self.throughput.energy.read() if alone else None,
        )


REPEATS = 8
WARM_UP = 4
"""Rounds that are not counted when a process calibrates for the first time; later one is enough."""
FRESH = 10.0
"""Seconds for which a calibration holds, and memory that is kept: cells that are shorter share them."""

_calibrated: dict[tuple[str, int], tuple[float, list[float]]] = {}
"""When this process calibrated last and what it found, by device and threads."""


@dataclass(frozen=True)
class CalibrationUnit:
    """Unit of time by the calibrations around a cell, and its uncertainty."""

    seconds: float
    """Their median."""
    error: float
    """Its relative standard error."""

    @classmethod
    def of(cls, calibrations: Sequence[float]) -> CalibrationUnit:
        """Unit of two or more calibrations; the error is of a median of normally distributed logarithms."""
        deviation = statistics.stdev(map(math.log, calibrations))
        error = math.sqrt(math.pi / 2 / len(calibrations)) * deviation
        return cls(statistics.median(calibrations), error)


def calibration(device: torch.device) -> list[float]:
    """Seconds that `calibrate` finds, or found a moment ago."""
    key = (str(device), torch.get_num_threads())
    when, seconds = _calibrated.get(key, (-math.inf, []))
    if time.monotonic() - when > FRESH:
        seconds = calibrate(device, 1 if seconds else WARM_UP)
        _calibrated[key] = time.monotonic(), seconds
    return seconds


def calibrate(device: torch.device, warm_up: int = WARM_UP) -> list[float]:
    """Seconds of some fixed work, `REPEATS` times: how fast this machine is just now.

    A training step of the kinds of layers that networks here are made of: a dense and a depthwise
    convolution, batch norm and a matrix product, on the threads and the device that cells run on. Draws
    from no random stream.
    """
    x = torch.linspace(-1, 1, 8 * 32 * 24 * 24, device=device).reshape(8, 32, 24, 24)
    dense, depthwise = (torch.linspace(-1, 1, 64 * n * 9, device=device) for n in (32, 1))
    weights = [
        dense.reshape(64, 32, 3, 3),
        depthwise.reshape(64, 1, 3, 3),
        x.reshape(-1)[: 64 * 512].view(64, 512),
    ]
    weights = [weight.clone().requires_grad_() for weight in weights]
    seconds = []
    for _ in range(warm_up + REPEATS):
        synchronise(device)
        began = time.perf_counter()
        y = torch.nn.functional.conv2d(x, weights[0], padding=1)
        y = torch.nn.functional.batch_norm(y, None, None, training=True).relu()
        y = torch.nn.functional.conv2d(y, weights[1], padding=1, groups=64)
        y = y.permute(0, 2, 3, 1).reshape(-1, 64) @ weights[2]
        torch.autograd.grad(y.square().mean(), weights)
        synchronise(device)
        seconds.append(time.perf_counter() - began)
    return seconds[warm_up:]


class PeakMemory:
    """Highest memory use since the start: the allocator's on an accelerator, resident memory on the CPU.

    The latter counts what the process keeps from before, which is little but for short cells in a row.
    """

    _CLEAR = Path("/proc/self/clear_refs")
    _given_back: ClassVar[float] = -math.inf
    """When this process gave back last what it keeps."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type != "cpu":
            torch.accelerator.memory.reset_peak_memory_stats(device)
            return
        # What earlier cells needed is not this one's. Among short cells that would take longer than they do.
        if time.monotonic() - PeakMemory._given_back > FRESH:
            trim()
            PeakMemory._given_back = time.monotonic()
        with contextlib.suppress(OSError):
            self._CLEAR.write_text("5")  # Linux: resets the high-water mark of this process.

    def read(self) -> int:
        """Bytes."""
        if self._device.type != "cpu":
            return int(torch.accelerator.memory.max_memory_allocated(self._device))
        with contextlib.suppress(OSError, ValueError, StopIteration):
            lines = Path("/proc/self/status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
        return int(psutil.Process().memory_info().rss)
