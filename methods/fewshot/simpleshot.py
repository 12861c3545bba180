"""SimpleShot: nearest class mean on features that are centred and scaled to length one.

Wang et al. 2019, "SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot Learning".
https://arxiv.org/abs/1911.04623

As in the paper: centred by the mean feature of the source, then divided by the norm (CL2N, section 2).
Without a source the shots' own mean is taken.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import ClosedFormMethod, Details, Model, StageItems, Task, prototype_head, prototypes, tunable


class CentredHead(nn.Module):
    """Nearest class mean of centred features of length one."""

    def __init__(self, in_features: int, classes: int) -> None:
        super().__init__()
        self.in_features = in_features
        self.linear = nn.Linear(in_features, classes)
        self.register_buffer("centre", torch.zeros(in_features))
        self.register_buffer("centred", torch.tensor(False))

    def normalised(self, features: Tensor) -> Tensor:
        """Features (B, D) centred and of length one."""
        return nn.functional.normalize(features - cast(Tensor, self.centre), dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, classes)."""
        out: Tensor = self.linear(self.normalised(features))
        return out


class Simpleshot(ClosedFormMethod):
    """Class means of centred features of length one, centred by the source's mean."""

    reference = "easyfsl 1.5.0"
    control = "ncm"
    bounds = {"scale": "> 0"}

    scale: float = tunable(10.0, 1.0, 100.0)
    """Factor on the squared distances: it decides how sure predictions are, not which."""

    def new_head(self, num_features: int, task: Task) -> nn.Module:
        """Make a head that is centred at zero."""
        return CentredHead(num_features, len(task.classes))

    def replace_head(self, model: Model, task: Task) -> None:
        """Head for other classes, with the centre that the source has given."""
        before = cast(CentredHead, model.head)
        super().replace_head(model, task)
        head = cast(CentredHead, model.head)
        head.centre, head.centred = before.centre, before.centred

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Centre by the first stage's mean, and make the head of the class means."""
        head, labelled = cast(CentredHead, model.head), items.labelled
        features = labelled.features(model)
        with torch.no_grad():
            if not head.centred:
                head.centre, head.centred = features.mean(0), torch.ones_like(cast(Tensor, head.centred))
            means = prototypes(head.normalised(features), labelled.y, len(task.classes))
            weight, bias = prototype_head(means, self.scale)
            head.linear.weight.copy_(weight)
            head.linear.bias.copy_(bias)
        return {}
