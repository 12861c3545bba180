"""Prototypical networks: an embedding in which each class is the mean of its images.

Snell et al. 2017, "Prototypical Networks for Few-shot Learning". https://arxiv.org/abs/1703.05175

Unlike the paper: squared distances are scaled by a tenth, since those of a pretrained network's features are
large; episodes have as many ways as the batch holds.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import (
    Batch,
    Details,
    EpisodicMethod,
    Model,
    ParameterGroups,
    StageItems,
    Task,
    prototype_head,
    prototypes,
    tunable,
)


class ProtoNet(EpisodicMethod):
    """Trains all layers on episodes of the source; the target's classes are the means of their shots."""

    reference = "easyfsl 1.5.0"
    control = "ncm"

    scale: float = tunable(0.1, 0.01, 1.0)
    """Factor on the squared distances that are the negative logits."""

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Cross-entropy of the queries over their distances to the support's prototypes (algorithm 1)."""
        assert batch.episode is not None
        support = batch.episode.way * batch.episode.support
        features = model.features(batch.x)
        means = prototypes(features[:support], batch.y[:support], batch.episode.way)
        weight, bias = prototype_head(means, self.scale)
        return nn.functional.cross_entropy(features[support:] @ weight.T + bias, batch.y[support:])

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Make the head of the shots' prototypes, in place."""
        head, features = cast(nn.Linear, model.head), items.labelled.features(model)
        with torch.no_grad():
            means = prototypes(features, items.labelled.y, len(task.classes))
            weight, bias = prototype_head(means, self.scale)
            head.weight.copy_(weight)
            head.bias.copy_(bias)
        return {}

    def trainable(self, model: Model) -> ParameterGroups:
        """Parameters of the embedding; the head is made of prototypes."""
        return [{"params": list(model.backbone.parameters()), "weight_decay": self.weight_decay}]
