"""L2-SP: fine-tuning that is pulled towards the weights it started from.

Li et al. 2018, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks".
https://arxiv.org/abs/1802.01483

As in the paper: alpha / 2 times the squared distance of the backbone from its start and beta / 2 times the
head's squared norm (equation 3, section 3.2), in place of weight decay; both 0.01, the defaults of its
authors' code, whose run on Stanford Dogs has an alpha of 0.1.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from bench.api import Batch, GradientMethod, Model, Snapshot, StageItems, Task, tunable


class L2Sp(GradientMethod):
    """Cross-entropy plus the squared distance from the weights that the stage began with."""

    reference = "hand-computed case"
    control = {"alpha": 0.0}

    weight_decay: float = 0.0
    alpha: float = tunable(0.01, 1e-4, 1.0)
    """Strength of the pull on the backbone."""
    beta: float = tunable(0.01, 1e-4, 1.0)
    """Strength of the decay of the head."""

    def begin(self, model: Model, items: StageItems, task: Task) -> None:
        """Remember the backbone's weights."""
        model.start = Snapshot(model.backbone)

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Cross-entropy and both penalties."""
        distance = cast(Snapshot, model.start).squared_distance(model.backbone)
        norm = torch.stack([p.square().sum() for p in model.head.parameters()]).sum()
        return super().loss(model, batch, progress) + self.alpha / 2 * distance + self.beta / 2 * norm
