"""JDOT: a classifier of the target, and the transport of source items and labels to what it predicts.

Courty et al. 2017, "Joint distribution optimal transportation for domain adaptation", NeurIPS.
https://arxiv.org/abs/1705.08848

As in the paper (sections 3 and 4): the exact plan for the cost alpha d(x_s, x_t) + L(y_s, f(x_t)) with
squared distances and cross-entropy, and the classifier f of least loss on the target under the labels that
the plan carries there, in turns; the first plan knows distances alone. Unlike it: distances are divided by
their mean in place of their maximum, which one item may decide; the classifier's ridge is that which
cross-validation chooses on the source, in place of reverse validation. With shots, the target stage goes on
from the source's classifier.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import (
    Access,
    ClosedFormMethod,
    Details,
    Logistic,
    Model,
    StageItems,
    Task,
    even_share,
    fit_logistic,
    lacks_transport,
    strength_before,
    tunable,
)


class Jdot(ClosedFormMethod):
    """Logistic regression on target features, with labels transported from the source."""

    reference = "skada 0.6.0"
    access = Access.SOURCE_LABELS | Access.TARGET_IMAGES | Access.TARGET_LABELS
    needs = Access.SOURCE_LABELS | Access.TARGET_IMAGES
    control = "linear-probe"
    bounds = {"rounds": ">= 1", "most": ">= 2"}

    alpha: float = tunable(1.0, 0.01, 100.0)
    """Weight of the features' distance."""
    rounds: int = 10
    """Plans at most: it ends when one is as the one before."""
    most: int = 2000
    """Items of a domain that take part at most: a plan has a number for each pair."""

    @classmethod
    def unavailable(cls) -> str | None:
        """Requirement: POT, where it is not installed."""
        return lacks_transport()

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Fit the head on the target under transported labels; on the shots as they are."""
        labelled, head = items.labelled, cast(nn.Linear, model.head)
        x, y = labelled.features(model), labelled.y
        l2 = strength_before(task.before, y, labelled.groups)
        details = fit_logistic(head, x, y, labelled.groups, task.seed, l2)
        if task.stage != "source":
            return details
        assert items.unlabelled is not None
        target = items.unlabelled.features(model)[: self.most]
        places = even_share(y, self.most)
        labels = nn.functional.one_hot(y[places], len(task.classes)).double()
        weight, bias = self.joint(x[places].double(), labels, target.double(), details["l2"])
        with torch.no_grad():
            head.weight.copy_(weight.T)
            head.bias.copy_(bias)
        return details

    def joint(self, x: Tensor, labels: Tensor, target: Tensor, l2: float) -> tuple[Tensor, Tensor]:
        """Weight (D, C) and bias (C,) for target features (M, D), by source ones (N, D) of labels (N, C)."""
        # Takes seconds, and may be missing.
        import ot

        distances = torch.cdist(x, target).square()
        distances = self.alpha * distances / distances.mean().clamp_min(torch.finfo(distances.dtype).tiny)
        weights = [distances.new_full((count,), 1 / count) for count in distances.shape]
        start = torch.zeros(x.shape[1], labels.shape[1], dtype=x.dtype, device=x.device)
        cost, before = distances, torch.zeros_like(distances)
        for _ in range(self.rounds):
            plan = ot.emd(*weights, cost, numItermax=1_000_000)
            if torch.equal(plan, before):
                break
            problem = Logistic(target, len(target) * plan.T @ labels, start, start[0])
            weight, bias = problem.weights(problem.solve(l2))
            cost, before = distances - labels @ (target @ weight + bias).log_softmax(1).T, plan
        return weight, bias
