"""Meta-Baseline: class means compared by cosine, with a temperature that is learnt on episodes.

Chen et al. 2021, "Meta-Baseline: Exploring Simple Meta-Learning for Few-Shot Learning".
https://arxiv.org/abs/2003.04390

As in the paper's second stage (section 3.2): all layers are meta-trained on episodes, logits are cosines
times a learnable factor that starts at 10. The first stage, training a classifier, is what the backbone was
pretrained by. Unlike it: batch norm keeps its statistics; AdamW at a tenth of other methods' rate, since
features that are good as they are have no new head to follow.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import Batch, Details, Episode, EpisodicMethod, Model, StageItems, Task, prototypes, tunable


class CosineHead(nn.Module):
    """Cosines of features with class means, times a factor."""

    def __init__(self, in_features: int, classes: int, factor: nn.Parameter) -> None:
        super().__init__()
        self.in_features, self.factor = in_features, factor
        self.register_buffer("means", torch.zeros(classes, in_features))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, classes)."""
        return self.factor * cosines(features, cast(Tensor, self.means))


class MetaBaseline(EpisodicMethod):
    """Trains all layers on episodes by cosine; the target's classes are the means of their shots."""

    reference = "easyfsl 1.5.0"
    control = "ncm"
    bounds = {"factor": "> 0"}
    presets = {"paper": {"learning_rate": 0.001}}
    """Of the second stage, by SGD."""

    learning_rate: float = tunable(1e-4, 1e-5, 1e-2)
    factor: float = 10.0
    """Factor on the cosines from which learning starts."""

    def new_head(self, num_features: int, task: Task) -> nn.Module:
        """Make a head without means."""
        return CosineHead(num_features, len(task.classes), nn.Parameter(torch.tensor(self.factor)))

    def replace_head(self, model: Model, task: Task) -> None:
        """Head for other classes, with the factor that was learnt."""
        before = cast(CosineHead, model.head)
        model.head = CosineHead(before.in_features, len(task.classes), before.factor)

    def episode_loss(self, model: Model, batch: Batch, episode: Episode) -> Tensor:
        """Cross-entropy of the queries over their cosines with the support's means."""
        support = episode.learnt
        features = model.features(batch.x)
        means = prototypes(features[:support], batch.y[:support], episode.way)
        logits = cast(CosineHead, model.head).factor * cosines(features[support:], means)
        return nn.functional.cross_entropy(logits, batch.y[support:])

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Keep the means of the shots."""
        head, labelled = cast(CosineHead, model.head), items.labelled
        head.means = prototypes(labelled.features(model), labelled.y, len(task.classes))
        return {"factor": head.factor.item()}


def cosines(features: Tensor, means: Tensor) -> Tensor:
    """Cosines of features (B, D) with class means (C, D): -> (B, C)."""
    return nn.functional.normalize(features, dim=1) @ nn.functional.normalize(means, dim=1).T
