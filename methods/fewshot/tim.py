"""TIM: class prototypes fitted to the shots and to the mutual information of images and their predictions.

Boudiaf et al. 2020, "Transductive Information Maximization For Few-Shot Learning".
https://arxiv.org/abs/2008.11297

As in the paper (TIM-GD, section 2): features of length one, prototypes that begin as the shots' class means,
softmax over squared distances with temperature 15 (equation 1), weights 0.1 of the shots' cross-entropy, 1 of
the marginal and 0.1 of the conditional entropy (equation 3), 1000 steps of Adam at 1e-4 (section 3). The
unlabelled images are a task's queries in transductive episodes, elsewhere the target's training images.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import (
    Access,
    ClosedFormMethod,
    Details,
    Model,
    StageItems,
    Task,
    entropy,
    prototype_head,
    prototypes,
    tunable,
)


class UnitHead(nn.Module):
    """Linear classifier of features of length one."""

    def __init__(self, in_features: int, classes: int) -> None:
        super().__init__()
        self.in_features = in_features
        self.linear = nn.Linear(in_features, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, classes)."""
        return cast(Tensor, self.linear(nn.functional.normalize(features, dim=1)))


class Tim(ClosedFormMethod):
    """Prototypes of the shots, moved towards certain and diverse predictions of the unlabelled images."""

    reference = "easyfsl 1.5.0"
    access = Access.TARGET_IMAGES | Access.TARGET_LABELS
    needs = Access.TARGET_IMAGES | Access.TARGET_LABELS
    task_only = True
    control = {"steps": 0}
    bounds = {"temperature": "> 0", "steps": ">= 0"}

    temperature: float = tunable(15.0, 1.0, 100.0)
    label_weight: float = tunable(0.1, 0.01, 10.0)
    """Weight of the shots' cross-entropy, lambda in the paper."""
    conditional_weight: float = tunable(0.1, 0.01, 1.0)
    """Weight of the mean entropy, alpha in the paper."""
    steps: int = 1000
    step_size: float = tunable(1e-4, 1e-5, 1e-2)

    def new_head(self, num_features: int, task: Task) -> nn.Module:
        """Make a classifier of features of length one."""
        return UnitHead(num_features, len(task.classes))

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Make the head of prototypes, in place."""
        assert items.unlabelled is not None
        shots = nn.functional.normalize(items.labelled.features(model), dim=1)
        queries = nn.functional.normalize(items.unlabelled.features(model), dim=1)
        means = prototypes(shots, items.labelled.y, len(task.classes))
        means = self.moved(means, shots, items.labelled.y, queries)
        linear = cast(UnitHead, model.head).linear
        with torch.no_grad():
            for p, new in zip(linear.parameters(), prototype_head(means, self.temperature / 2), strict=True):
                p.copy_(new)
        return {}

    @torch.enable_grad()
    def moved(self, means: Tensor, shots: Tensor, y: Tensor, queries: Tensor) -> Tensor:
        """Prototypes (C, D) of least loss over shots (N, D), their classes (N,), and queries (M, D)."""
        means = means.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([means], lr=self.step_size)
        for _ in range(self.steps):
            weight, bias = prototype_head(means, self.temperature / 2)
            label_loss = nn.functional.cross_entropy(shots @ weight.T + bias, y)
            p = (queries @ weight.T + bias).softmax(1)
            marginal, conditional = entropy(p.mean(0, keepdim=True)).sum(), entropy(p).mean()
            optimizer.zero_grad()
            (self.label_weight * label_loss - marginal + self.conditional_weight * conditional).backward()
            optimizer.step()
        return means.detach()
