"""OSBP: a class for what is unknown, which features are trained to be taken for or not to be.

Saito et al. 2018, "Open Set Domain Adaptation by Backpropagation". https://arxiv.org/abs/1804.10427

As in the paper (section 3.2 and 3.3, equations 2 to 5): the classifier, which has one class more than the
source, is trained to give a target image a probability of 0.5 for that class; the features, behind a
reversed gradient, to move it away from there, to either side. As in the paper the gradient is reversed at
full strength.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.api import Access, AlignmentMethod, Model, Side, Task, reverse_gradient


class Osbp(AlignmentMethod):
    """Source cross-entropy, plus an adversary that the classifier is itself."""

    reference = "hand-computed case"
    needs = AlignmentMethod.needs | Access.UNKNOWN_CLASSES
    bounds = {"boundary": ">= 0, <= 1"}

    boundary: float = 0.5
    """Probability of the unknown class that the classifier is trained to give, t in the paper."""

    def new_head(self, num_features: int, task: Task) -> nn.Module:
        """Make a head with a class for what is unknown, the last."""
        return nn.Linear(num_features, len(task.classes) + 1)

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """Cross-entropy of the unknown class with the boundary, reversed for the features."""
        return boundary_loss(model.head(reverse_gradient(target.features, 1.0)), self.boundary)


def boundary_loss(logits: Tensor, boundary: float) -> Tensor:
    """Binary cross-entropy (equation 3) of the last class of logits (N, C + 1) with a probability: -> ()."""
    known, unknown = torch.logsumexp(logits[:, :-1], 1), logits[:, -1]
    # log p and log (1 - p), from the odds of unknown and known.
    odds = unknown - known
    goal = torch.full_like(odds, boundary)
    return nn.functional.binary_cross_entropy_with_logits(odds, goal)
