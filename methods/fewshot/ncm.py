"""Nearest class mean: an image belongs to the class whose mean feature is nearest.

Mensink et al. 2013, "Distance-Based Image Classification: Generalizing to New Classes at Near-Zero Cost",
TPAMI. https://doi.org/10.1109/TPAMI.2013.83

On the features of the pretrained network as they are: the variant with Euclidean distance of section 3.1.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from bench.api import ClosedFormMethod, Details, Model, StageItems, Task, prototype_head, prototypes, tunable


class Ncm(ClosedFormMethod):
    """A head whose logits are the negative squared distances to the class means."""

    reference = "easyfsl 1.5.0"
    bounds = {"scale": "> 0"}

    scale: float = tunable(0.003, 0.0003, 1.0)
    """Factor on the distances: it decides how sure predictions are, not which."""

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Make the head of the class means, in place."""
        head, labelled = cast(nn.Linear, model.head), items.labelled
        means = prototypes(labelled.features(model), labelled.y, len(task.classes))
        weight, bias = prototype_head(means, self.scale)
        with torch.no_grad():
            head.weight.copy_(weight)
            head.bias.copy_(bias)
        return {}
