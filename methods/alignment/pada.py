"""PADA: a domain adversary for a target that lacks some of the source's classes.

Cao et al. 2018, "Partial Adversarial Domain Adaptation". https://arxiv.org/abs/1808.04205

As in the paper: classes weigh as much as the target's mean prediction of them, over its largest (section
3.2, equations 4 and 5), in the source's label loss and domain loss (equation 6). Unlike equation 6, and for
the label loss as in its authors' code, both are weighted means: the weights of a batch add up to its size.
They are computed anew of all unlabelled images at every tenth of a stage, in the paper every 500 steps; they
begin equal.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import AdversarialMethod, Backbone, Model, Side, StageItems, Task, domain_loss

TIMES = 10


class Pada(AdversarialMethod):
    """Source cross-entropy plus a domain adversary, both weighted by the classes that the target has."""

    reference = "hand-computed case"

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Build the network with a weight of each class."""
        model = super().build(backbone, task)
        model.register_buffer("class_weights", torch.ones(len(task.classes)))
        return model

    def replace_head(self, model: Model, task: Task) -> None:
        """Head for other classes, which weigh the same."""
        super().replace_head(model, task)
        model.register_buffer("class_weights", torch.ones(len(task.classes)))

    def refresh_at(self, model: Model) -> tuple[float, ...]:
        """Nine moments after the start."""
        return tuple(time / TIMES for time in range(1, TIMES))

    def refresh(self, model: Model, items: StageItems, progress: float) -> None:
        """Weigh classes by what is predicted of the target."""
        assert items.unlabelled is not None
        with torch.no_grad():
            logits = torch.cat([model(x).float() for x in items.unlabelled.batches()])
        cast(Tensor, model.class_weights).copy_(class_weights(logits))

    def label_loss(self, model: Model, logits: Tensor, y: Tensor) -> Tensor:
        """Weighted mean of cross-entropies."""
        return nn.functional.cross_entropy(logits, y, cast(Tensor, model.class_weights))

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """Loss of the discriminator, source items weighted by their class; where that is unknown, equally."""
        features = torch.cat([source.features, target.features])
        weights = torch.ones(len(features), device=features.device)
        if source.y is not None:
            mine = cast(Tensor, model.class_weights)[source.y]
            weights[: len(mine)] = mine / mine.mean()
        logits = self.domain_logits(model, features, progress)
        return domain_loss(logits, len(source.features), weights.to(logits))


def class_weights(logits: Tensor) -> Tensor:
    """Mean probabilities of logits (N, C) over their largest: (C,), at most 1."""
    mean = logits.softmax(1).mean(0)
    return mean / mean.max()
