"""Time and memory, measured in one place: phases that exclude each other, synchronised clocks."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import psutil
import torch

from bench.engine.training.throughput import Energy, ThroughputMeter, synchronise
from bench.processes.malloc import trim


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


class CostTracker:
    """What a cell costs: what it spent itself, and what the shared artifacts it used had cost."""

    def __init__(self, device: torch.device, timed: bool = False) -> None:
        """`timed`: steps wait for the device, so that each can be timed."""
        self.phases = Phases(device)
        self.memory = PeakMemory(device)
        self.throughput = ThroughputMeter(device, timed)
        self.energy = Energy(device)
        self.shared_seconds: dict[str, float] = defaultdict(float)
        self.streams: dict[str, int] = defaultdict(int)
        self.parameters = 0
        self.parameters_trained = 0
        self.devices = 1

    @property
    def items_seen(self) -> int:
        """Images over all stages and streams."""
        return sum(self.streams.values())

    @contextlib.contextmanager
    def spend(self, phase: str, cost: dict[str, Any]) -> Iterator[None]:
        """Time a block as a phase and write its seconds into `cost`."""
        before = self.phases.seconds[phase]
        with self.phases(phase):
            yield
        cost["seconds"] = self.phases.seconds[phase] - before

    def enter(self, phase: str, cost: dict[str, Any], shared: bool) -> None:
        """Book a cost: `seconds` if another cell spent them, and what was trained on how many images."""
        if shared:
            self.shared_seconds[phase] += cost["seconds"]
        for name, images in cost.get("streams", {}).items():
            self.streams[name] += images
        self.parameters = max(self.parameters, cost.get("parameters", 0))
        self.parameters_trained = max(self.parameters_trained, cost.get("parameters_trained", 0))
        self.devices = max(self.devices, cost.get("devices", 1))


REPEATS = 8
WARM_UP = 4
"""Rounds that are not counted when a process calibrates for the first time; later one is enough."""
FRESH = 10.0
"""Seconds for which a calibration holds, and memory that is kept: cells that are shorter share them."""

_calibrated: dict[tuple[str, int], tuple[float, list[float]]] = {}
"""When this process calibrated last and what it found, by device and threads."""


@dataclass(frozen=True)
class Unit:
    """What calibrations around a cell say: a unit of time, and how sure it is."""

    seconds: float
    """Their median."""
    error: float
    """Its relative standard error."""

    @classmethod
    def of(cls, calibrations: Sequence[float]) -> Unit:
        """Of two or more calibrations; the error is that of a median of normally distributed logarithms."""
        deviation = statistics.stdev(map(math.log, calibrations))
        error = math.sqrt(math.pi / 2 / len(calibrations)) * deviation
        return cls(statistics.median(calibrations), error)


def calibration(device: torch.device) -> list[float]:
    """What `calibrate` finds, or found a moment ago."""
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
