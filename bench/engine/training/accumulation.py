"""The gradient of a step's batch, in as many parts as memory asks for.

A batch that memory does not hold is halved, for the rest of its stage, and the gradients of the parts are
summed: each step has the same images. Where a loss is a mean over the rows of a batch, that is the whole
batch's gradient, but for layers that look at the rows beside each other: batch norm normalises by a part's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.core.errors import CellFailed
from bench.engine.training.loop_state import LoopState
from bench.method.batch import Batch
from bench.processes import memory

FEWEST = 2
"""Images of a part: batch norm needs more than one."""


class Accumulation:
    """Computes gradients for a loop, which knows in how many parts."""

    def __init__(self, loop: LoopState, loss: Callable[[Batch, float], Tensor], whole: str = "") -> None:
        """`loss` of a batch at some progress; `whole` says why a batch cannot be taken in parts, if so."""
        self._loop, self._loss, self._whole = loop, loss, whole
        model = loop.model.modules()
        self._keepers = [m for m in model if type(m).get_extra_state is not nn.Module.get_extra_state]
        self._held = False
        """Whether memory has held a batch in so many parts."""

    def gradient(self, batch: Batch, progress: float) -> Tensor:
        """Leave the gradient of a batch's loss in the parameters; returns that loss, ().

        Raises:
            CellFailed: memory is out, and the batch cannot be halved.
        """
        while True:
            extra = [module.get_extra_state() for module in self._keepers]
            # Statistics that a failed attempt has begun to move; none is expected where one went well.
            buffers = [] if self._held else [buffer.clone() for buffer in self._loop.model.buffers()]
            try:
                loss = self._in_parts(batch, progress, extra)
            except Exception as error:
                if not memory.is_out(error):
                    raise
                why = (str(error).splitlines() or [""])[0]
            else:
                self._held = True
                return loss
            # Here, not above: an exception holds on to what its pass had computed.
            self._loop.optimizer.zero_grad(set_to_none=True)
            memory.free()
            self._put_back(extra)
            for buffer, before in zip(self._loop.model.buffers(), buffers, strict=False):
                buffer.copy_(before)
            self._halve(len(batch), why)

    def _in_parts(self, batch: Batch, progress: float, extra: list[Tensor]) -> Tensor:
        loop = self._loop
        loop.optimizer.zero_grad(set_to_none=True)
        if loop.parts == 1:
            loss = self._loss(batch, progress)
            loop.scaler.scale(loss).backward()
            return loss.detach()
        total = torch.zeros_like(loop.total)
        for place in range(loop.parts):
            part = batch.slice(place, loop.parts)
            # To what a method counts its steps by, all parts are one step.
            self._put_back(extra)
            loss = self._loss(part, progress) * (len(part) / len(batch))
            loop.scaler.scale(loss).backward()
            total += loss.detach()
        return total

    def _put_back(self, extra: list[Tensor]) -> None:
        for module, state in zip(self._keepers, extra, strict=True):
            module.set_extra_state(state)

    def _halve(self, images: int, why: str) -> None:
        parts = 2 * self._loop.parts
        size = f"batches of {images}" + (f" in {parts // 2} parts" if parts > 2 else "")
        if self._whole:
            raise CellFailed(
                f"out of memory at {size}, which cannot be halved, since {self._whole}: "
                f"use a smaller batch_size ({why})"
            )
        if images // parts < FEWEST:
            raise CellFailed(f"out of memory at {size}: use a smaller image_size or another network ({why})")
        self._loop.parts, self._held = parts, False


def split_warning(stage: str, images: int, parts: int, model: nn.Module) -> str:
    """Warning for the record of a stage whose batches were taken in parts."""
    most = -(-images // parts)
    seen = any(m.training and isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
    return (
        f"memory was out: the {stage} stage took its batches of {images} in {parts} parts, "
        "gradients summed" + (f"; batch norm normalised by {most} at once" if seen else "")
    )
