"""LP-FT: fit a linear probe first, then fine-tune everything from there.

Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution".
https://arxiv.org/abs/2202.10054
"""

from __future__ import annotations

from typing import cast

from torch import nn

from bench.api import Details, GradientMethod, Model, StageItems, StageName, Task, fit_logistic, tunable


class LpFinetune(GradientMethod):
    """A convex head on the features as they are, then cross-entropy over all layers."""

    learning_rate: float = tunable(1e-3, 1e-5, 1e-2)

    def fits(self, stage: StageName) -> bool:
        """True: each stage begins with a probe."""
        return True

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Fit the head on the features of all labelled images, penalising its distance from where it is."""
        labelled, head = items.labelled, cast(nn.Linear, model.head)
        return fit_logistic(head, labelled.features(model), labelled.y, labelled.groups, task.seed)

    def new_head(self, num_features: int, task: Task) -> nn.Module:
        """Make a linear head at zero, from which the probe starts."""
        head = nn.Linear(num_features, len(task.classes))
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        return head
