"""Methods that begin each stage with a linear probe, from which they train on."""

from __future__ import annotations

from typing import cast

from torch import nn

from bench.method.base import Details, GradientMethod, Model, zero_head
from bench.method.batch import StageName, Task
from bench.method.items import StageItems
from bench.method.maths.logistic import fit_logistic, strength_before


class ProbedMethod(GradientMethod):
    """Method that fits a convex head on the features as they are, then minimises its loss from there."""

    def fits(self, stage: StageName) -> bool:
        """True: each stage begins with a probe."""
        return True

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Fit the head on the features of all labelled items, penalising its distance from where it is."""
        labelled, head = items.labelled, cast(nn.Linear, model.head)
        l2 = strength_before(task.before, labelled.y, labelled.groups)
        return fit_logistic(head, labelled.features(model), labelled.y, labelled.groups, task.seed, l2)

    def new_head(self, num_features: int, task: Task) -> nn.Module:
        """Make a linear head at zero, from which the probe starts."""
        return zero_head(num_features, task)
