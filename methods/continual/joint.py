"""Joint training: each task is learnt together with all items of the earlier ones.

Caruana 1997, "Multitask Learning". https://doi.org/10.1023/A:1007379606734

The upper bound of continual learning (van de Ven et al. 2022, https://doi.org/10.1038/s42256-022-00568-3), by
task: nothing is forgotten since nothing is put away. Each task so far has an equal share in the loss.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import Access, Backbone, Batch, GradientMethod, Model, StageItems, Task


class Joint(GradientMethod):
    """Cross-entropy on the items of all tasks so far."""

    reference = "hand-computed case"
    access = Access.TARGET_LABELS | Access.SOURCE_REPLAY
    needs = Access.TASKS
    control = "naive"

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Build the backbone, a linear head and a counter of tasks."""
        model = super().build(backbone, task)
        model.register_buffer("tasks", torch.ones(()))
        return model

    def begin(self, model: Model, items: StageItems, task: Task) -> None:
        """Note how many tasks there are."""
        cast(Tensor, model.tasks).fill_(task.place + 1)

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Mean over the tasks."""
        if batch.source_x is None:
            return super().loss(model, batch, progress)
        assert batch.source_y is not None
        logits = model(torch.cat([batch.x, batch.source_x])).split([len(batch.x), len(batch.source_x)])
        new, earlier = map(nn.functional.cross_entropy, logits, (batch.y, batch.source_y))
        return earlier.lerp(new, 1 / cast(Tensor, model.tasks))
