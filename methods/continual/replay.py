"""Experience replay: a few items of earlier tasks are kept, and learnt again beside the new ones.

Chaudhry et al. 2019, "On Tiny Episodic Memories in Continual Learning". https://arxiv.org/abs/1902.10486

As in the paper: a batch of the memory beside each batch of the task, both in one loss (algorithm 1), and a
memory by reservoir sampling (section 4), to which each task offers its items, once, when it ends: during a
task its own items are at hand.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import Access, Backbone, Batch, Details, GradientMethod, Memory, Model, StageItems, Task


class Replay(GradientMethod):
    """Cross-entropy on the task's items and on a draw of kept ones."""

    reference = "avalanche-lib 0.6.0"
    access = Access.TARGET_LABELS
    needs = Access.TASKS
    control = "naive"
    bounds = {"capacity": ">= 0"}

    capacity: int = 200
    """Items that are kept."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Build the backbone, a linear head and an empty memory."""
        model = super().build(backbone, task)
        model.memory = Memory(self.capacity)
        return model

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Mean over both."""
        x, y, memory = batch.x, batch.y, cast(Memory, model.memory)
        if len(memory):
            kept, labels = memory.draw(len(x), x.shape[1:], ())
            x, y = torch.cat([x, kept.to(x.dtype)]), torch.cat([y, labels.long()])
        return nn.functional.cross_entropy(model(x), y)

    def finish(self, model: Model, items: StageItems, task: Task) -> None:
        """Offer the task's items to the memory, in the order in which they come."""
        labels = items.labelled.y.split(256)
        for x, y in zip(items.labelled.batches(256), labels, strict=True):
            cast(Memory, model.memory).offer(x, y)

    def report(self, model: Model) -> Details:
        """Bytes that are kept of earlier tasks."""
        return {"bytes_kept": cast(Memory, model.memory).bytes}
