"""CDAN+E: adversarial alignment of features together with predictions, confident items first.

Long et al. 2018, "Conditional Adversarial Domain Adaptation". https://arxiv.org/abs/1705.10667

As in the paper: the randomised multilinear map to 1,024 dimensions (equation 7), weights 1 + exp(-entropy)
on the discriminator's loss (equation 9), trade-off 1. As in its authors' code, weights are 1 on average, and
predictions condition the discriminator but get no gradient from it. Unlike the paper: the map is randomised
for few features and classes too, and the entropy gets no gradient.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from bench.api import AdversarialMethod, Backbone, Model, Side, Task, domain_loss, entropy


class CdanE(AdversarialMethod):
    """Source cross-entropy plus a discriminator on randomly mapped features and predictions."""

    reference = "dalib 0.2"
    bounds = {"dimensions": ">= 1"}

    dimensions: int = 1024
    """Dimensions of the randomised multilinear map."""

    def domain_inputs(self, num_features: int, task: Task) -> int:
        """Width of the map."""
        return self.dimensions

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Network with discriminator, and the fixed random matrices of features and predictions."""
        model = super().build(backbone, task)
        model.register_buffer("of_features", torch.randn(backbone.num_features, self.dimensions))
        model.register_buffer("of_predictions", torch.randn(len(task.classes), self.dimensions))
        return model

    def replace_head(self, model: Model, task: Task) -> None:
        """Head and random matrix for other classes."""
        super().replace_head(model, task)
        model.register_buffer("of_predictions", torch.randn(len(task.classes), self.dimensions))

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """Discriminator's loss, weighted by certainty; weights are 1 on average."""
        features = torch.cat([source.features, target.features])
        predictions = torch.cat([source.probabilities, target.probabilities]).detach()
        left, right = cast(Tensor, model.of_features), cast(Tensor, model.of_predictions)
        mapped = (features @ left) * (predictions @ right) / self.dimensions**0.5
        weights = 1 + torch.exp(-entropy(predictions))
        logits = self.domain_logits(model, mapped, progress)
        return domain_loss(logits, len(source.features), weights / weights.mean())
