"""Linear probe: multinomial logistic regression on the frozen network's features.

Alain & Bengio 2016, "Understanding intermediate layers using linear classifier probes".
https://arxiv.org/abs/1610.01644

In the target stage the penalty pulls towards the source's head instead of zero (Li et al. 2018, L2-SP,
https://arxiv.org/abs/1802.01483): the convex counterpart of going on from the source's weights.
"""

from __future__ import annotations

from typing import cast

from torch import nn

from bench.api import (
    ClosedFormMethod,
    Details,
    Model,
    StageItems,
    Task,
    fit_logistic,
    strength_before,
    tunable,
)


class LinearProbe(ClosedFormMethod):
    """A convex head on frozen features; its regularisation is chosen by cross-validation."""

    reference = "scikit-learn 1.5+"
    bounds = {"folds": ">= 0"}

    l2: float = tunable(0.0, 1e-4, 3.0)
    """Strength relative to the features' variance; 0 chooses it by cross-validation over the labels, or takes
    over the source's prior where a class has one image."""
    folds: int = 5

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Fit the head, penalising its distance from where it is."""
        labelled, head = items.labelled, cast(nn.Linear, model.head)
        l2 = self.l2 or strength_before(task.before, labelled.y, labelled.groups)
        return fit_logistic(head, labelled.x, labelled.y, labelled.groups, task.seed, l2=l2, folds=self.folds)
