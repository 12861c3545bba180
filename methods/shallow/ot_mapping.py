"""OT mapping: source features are carried onto the target's by optimal transport, class by class.

Courty et al. 2017, "Optimal Transport for Domain Adaptation", TPAMI. https://arxiv.org/abs/1507.00504

As in the paper (sections 3 and 4): squared distances, an entropic plan with a group penalty on each target
item's mass from a class (OT-LpL1, p = 1/2, by majorisation and ten plans), the barycentric mapping of source
items (equation 13). Distances are divided by their median, so that both strengths mean the same for every
backbone; logistic regression takes the place of the nearest neighbour. With shots, the target stage goes on
from the source's classifier.
"""

from __future__ import annotations

import warnings
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
    even_share,
    fit_logistic,
    lacks_transport,
    strength_before,
    tunable,
)


class OtMapping(ClosedFormMethod):
    """Logistic regression on source features that are transported onto the target's."""

    reference = "skada 0.6.0"
    access = Access.SOURCE_LABELS | Access.TARGET_IMAGES | Access.TARGET_LABELS
    needs = Access.SOURCE_LABELS | Access.TARGET_IMAGES
    control = "linear-probe"
    bounds = {"entropic": "> 0", "most": ">= 2"}

    entropic: float = tunable(0.05, 0.02, 1.0)
    """Strength of the plan's entropy, lambda in the paper."""
    grouped: float = tunable(0.1, 0.01, 1.0)
    """Strength of the group penalty, eta in the paper."""
    most: int = 2000
    """Items of a domain that take part at most: a plan has a number for each pair."""

    @classmethod
    def unavailable(cls) -> str | None:
        """Requirement: POT, where it is not installed."""
        return lacks_transport()

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Fit the head on transported source features; on the shots as they are."""
        labelled, head = items.labelled, cast(nn.Linear, model.head)
        x, y, groups = labelled.features(model), labelled.y, labelled.groups
        if task.stage == "source":
            assert items.unlabelled is not None
            target = items.unlabelled.features(model)[: self.most]
            places = even_share(y, self.most)
            x, y, groups = x[places], y[places], groups[places]
            distances = torch.cdist(x.double(), target.double()).square()
            # Where all items look alike, any plan will do.
            scale = distances.median().clamp_min(torch.finfo(distances.dtype).tiny)
            plan = class_plan(distances / scale, y, self.entropic, self.grouped)
            x = (plan @ target.double() / plan.sum(1, keepdim=True)).to(target.dtype)
        l2 = strength_before(task.before, y, groups)
        return fit_logistic(head, x, y, groups, task.seed, l2)


def class_plan(cost: Tensor, y: Tensor, entropic: float, grouped: float, rounds: int = 10) -> Tensor:
    """Plan (N, M) between uniform weights for a cost (N, M), source items being of classes y (N,).

    Minimises <plan, cost> - entropic H(plan) + grouped sum over classes and columns of sqrt(mass).
    """
    # Takes seconds, and may be missing.
    import ot

    member = nn.functional.one_hot(y).to(cost.dtype)
    weights = [cost.new_full((count,), 1 / count) for count in cost.shape]
    penalty = torch.zeros_like(cost)
    for _ in range(rounds):
        # By POT's own function there would be a number for each pair and class.
        problem = (*weights, cost + grouped * penalty, entropic)
        with warnings.catch_warnings(action="ignore"):
            plan: Tensor = ot.sinkhorn(*problem, numItermax=200, warn=False)
        # An item far from all others has no mass left in floating point, except by logarithms, slowly.
        if not torch.allclose(plan.sum(1), weights[0], rtol=1e-3, atol=0.0):
            plan = ot.sinkhorn(*problem, method="sinkhorn_log", numItermax=200, warn=False)
        penalty = member @ (0.5 * (member.T @ plan + 1e-3).rsqrt())
    return plan
