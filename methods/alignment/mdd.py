"""MDD: a second classifier that disagrees with the first on the target as little as it can be made to.

Zhang et al. 2019, "Bridging Theory and Algorithm for Domain Adaptation". https://arxiv.org/abs/1904.05801

As in the paper: margin factor 4 on the source (section 6.1), cross-entropy there and log(1 - p) on the
target (equations 29 and 30), a reversed gradient that rises to 0.1, an adversary with one hidden layer.
Unlike it: the classifier is linear, as for every method here, and has no bottleneck before it; AdamW.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import (
    AlignmentMethod,
    Backbone,
    Model,
    Side,
    Task,
    reversal_strength,
    reverse_gradient,
    tunable,
)


class Mdd(AlignmentMethod):
    """Source cross-entropy plus the margin disparity discrepancy of an adversarial classifier."""

    reference = "dalib 0.2"
    per_sample_loss = True
    bounds = {"hidden": ">= 1", "strength": ">= 0"}
    presets = {"paper": {"learning_rate": 0.004, "weight_decay": 0.0005}}
    """As TLlib's script has it, by SGD."""

    margin: float = tunable(4.0, 1.0, 8.0)
    hidden: int = 1024
    """Width of the adversary."""
    strength: float = 0.1
    """Largest factor on the reversed gradient."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Network with the adversarial classifier."""
        model = super().build(backbone, task)
        model.adversary = self._adversary(backbone.num_features, task)
        return model

    def replace_head(self, model: Model, task: Task) -> None:
        """Head and adversary for other classes."""
        super().replace_head(model, task)
        model.adversary = self._adversary(cast(nn.Linear, model.head).in_features, task)

    def _adversary(self, num_features: int, task: Task) -> nn.Module:
        return nn.Sequential(
            nn.Linear(num_features, self.hidden), nn.ReLU(), nn.Linear(self.hidden, len(task.classes))
        )

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """What the adversary minimises; the features, behind a reversed gradient, do the opposite."""
        features = reverse_gradient(
            torch.cat([source.features, target.features]), self.strength * reversal_strength(progress)
        )
        theirs = cast(nn.Module, model.adversary)(features).split(
            [len(source.features), len(target.features)]
        )
        return disparity(source.logits, theirs[0], target.logits, theirs[1], self.margin)


def disparity(
    source: Tensor, source_adv: Tensor, target: Tensor, target_adv: Tensor, margin: float
) -> Tensor:
    """Negative margin disparity discrepancy of logits (B, C) of classifier and adversary: -> ()."""
    agree = nn.functional.cross_entropy(source_adv, source.argmax(1))
    # -log(1 - p) of logits: it does not overflow, and goes on pulling where the adversary is certain.
    predicted = target.argmax(1, keepdim=True)
    others = target_adv.scatter(1, predicted, -torch.inf).logsumexp(1)
    return margin * agree + (target_adv.logsumexp(1) - others).mean()
