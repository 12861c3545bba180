"""R2-D2: an embedding on which ridge regression on a few examples solves the task.

Bertinetto et al. 2019, "Meta-learning with differentiable closed-form solvers".
https://arxiv.org/abs/1805.08136

As in the paper: W = X' (X X' + lambda I)^-1 Y by Woodbury's identity (equation 4), predictions alpha X W +
beta (equation 6), with lambda, alpha and beta learnt beside the embedding. All layers of the backbone are
meta-trained.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import (
    Backbone,
    Batch,
    Details,
    Episode,
    EpisodicMethod,
    Model,
    ParameterGroups,
    StageItems,
    Task,
)


class R2d2(EpisodicMethod):
    """Trains all layers on episodes; the target's head is ridge regression on its shots."""

    reference = "scikit-learn 1.5+"
    control = "linear-probe"
    bounds = {"ridge": "> 0"}

    ridge: float = 1.0
    """Strength of the regression from which learning starts, lambda in the paper."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Network with the logarithm of lambda, alpha, and beta."""
        model = super().build(backbone, task)
        model.log_ridge = nn.Parameter(torch.tensor(self.ridge).log())
        model.alpha, model.beta = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(0.0))
        return model

    def episode_loss(self, model: Model, batch: Batch, episode: Episode) -> Tensor:
        """Cross-entropy of the queries after regression on the support."""
        support = episode.learnt
        features = model.features(batch.x)
        weight, bias = self.head(model, features[:support], batch.y[:support], episode.way)
        return nn.functional.cross_entropy(features[support:] @ weight.T + bias, batch.y[support:])

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Make the head by regression on the shots, in place."""
        head, labelled = cast(nn.Linear, model.head), items.labelled
        with torch.no_grad():
            weight, bias = self.head(model, labelled.features(model), labelled.y, len(task.classes))
            head.weight.copy_(weight)
            head.bias.copy_(bias)
        return {"ridge": cast(Tensor, model.log_ridge).exp().item()}

    def head(self, model: Model, features: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Weight (C, D) and bias (C,) of features (N, D) and labels (N,)."""
        strength = cast(Tensor, model.log_ridge).exp()
        solved = ridge_regression(features, nn.functional.one_hot(y, classes).to(features.dtype), strength)
        alpha, beta = cast(Tensor, model.alpha), cast(Tensor, model.beta)
        return alpha * solved.T, beta.expand(classes)

    def trainable(self, model: Model) -> ParameterGroups:
        """Parameters of the embedding, and the regression's three; the head is made of them."""
        own = [cast(nn.Parameter, parameter) for parameter in (model.log_ridge, model.alpha, model.beta)]
        return [
            {"params": list(model.backbone.parameters()), "weight_decay": self.weight_decay},
            {"params": own, "weight_decay": 0.0},
        ]


def ridge_regression(x: Tensor, y: Tensor, strength: Tensor) -> Tensor:
    """Solution (D, C) of min ||x W - y||² + strength ||W||² for few rows x (N, D), y (N, C)."""
    gram = x @ x.T + strength * torch.eye(len(x), dtype=x.dtype, device=x.device)
    return x.T @ torch.linalg.solve(gram, y)
