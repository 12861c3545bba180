"""Prototypical networks: an embedding in which each class is the mean of its images.

Snell et al. 2017, "Prototypical Networks for Few-shot Learning". https://arxiv.org/abs/1703.05175

Unlike the paper: squared distances are scaled, since those of a pretrained network's features are large, and
learning rates are a tenth of other methods', since features that are good as they are have no new head to
follow; batch norm keeps its statistics; episodes have as many ways as the batch holds.
`docs/measurements/recipes.md` has numbers.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import (
    Batch,
    Details,
    Episode,
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
    bounds = {"scale": "> 0"}
    presets = {"paper": {"learning_rate": 0.001, "scale": 1.0}}
    """Adam's rate of section 3, and distances that are not scaled."""

    learning_rate: float = tunable(1e-4, 1e-5, 1e-2)
    scale: float = tunable(0.003, 0.0003, 1.0)
    """Factor on the squared distances that are the negative logits."""

    def episode_loss(self, model: Model, batch: Batch, episode: Episode) -> Tensor:
        """Cross-entropy of the queries over their distances to the support's prototypes (algorithm 1)."""
        support = episode.learnt
        features = model.features(batch.x)
        means = prototypes(features[:support], batch.y[:support], episode.way)
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
