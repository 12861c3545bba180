"""Throughput of training and prediction: step latencies, images a second, operations, energy."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.engine.training.batches import Batches
from bench.engine.training.energy import Energy
from bench.method.base import GradientMethod, Model
from bench.processes import memory
from bench.processes.clock import work_clock
from bench.records.record import StepTimes

WARM_UP = 3
"""Steps at the beginning of a stage that are not timed."""


def synchronise(device: torch.device) -> None:
    """Wait for what an accelerator has been given to do."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


class ThroughputMeter:
    """Takes the times of steps and of predictions.

    On an accelerator steps are queued, so that the time between two of them says little: only where `wait` is
    set, and the device is waited for after each, are they timed there.
    """

    def __init__(self, device: torch.device, wait: bool) -> None:
        self._device, self._wait = device, wait
        self._timed = wait or device.type == "cpu"
        self._steps: list[float] = []
        self._left = 0
        self._since: float | None = None
        self._images, self._seconds = 0, 0.0
        self.flops: int | None = None
        self.energy = Energy(device)

    def begin(self) -> None:
        """A stage begins: its first steps warm up."""
        self._left, self._since = WARM_UP, None

    def step(self) -> None:
        """A step is done."""
        self.energy.poll()
        if not self._timed:
            return
        synchronise(self._device)
        now = work_clock()
        if self._left:
            self._left -= 1
        elif self._since is not None:
            self._steps.append(now - self._since)
        self._since = now

    def pause(self) -> None:
        """Something else comes between this step and the next."""
        self._since = None

    @contextlib.contextmanager
    def predicting(self, images: int) -> Iterator[None]:
        """Time predictions of some images."""
        synchronise(self._device)
        since = work_clock()
        yield
        synchronise(self._device)
        self.energy.poll()
        self._images += images
        self._seconds += work_clock() - since

    @property
    def predictions_per_second(self) -> float | None:
        """Images a second over all predictions."""
        return self._images / self._seconds if self._seconds else None

    def steps(self) -> StepTimes | None:
        """Quantiles of the step latency; None where no step was timed."""
        if not self._steps:
            return None
        p25, p50, p75, p95 = np.quantile(self._steps, (0.25, 0.5, 0.75, 0.95)).tolist()
        return StepTimes(count=len(self._steps), p25=p25, p50=p50, p75=p75, p95=p95)


def count_flops(method: GradientMethod, model: Model, batches: Batches) -> int | None:
    """Floating-point operations of one step, forwards and backwards, by torch's counter; changes nothing.

    None where memory does not hold the step in one.
    """
    mine = copy.deepcopy(model).train()
    try:
        # Not counted: views of the images may be made now.
        batch = batches.batch(0)
        with torch.random.fork_rng(), FlopCounterMode(display=False) as counter:
            method.loss(mine, batch, 0.0).backward()
    except Exception as error:
        if not memory.is_out(error):
            raise
        return None
    return int(counter.get_total_flops())
