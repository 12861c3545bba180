"""DeepJDOT: target items that take over the labels of the source items they are transported to.

Damodaran et al. 2018, "DeepJDOT: Deep Joint Distribution Optimal Transport for Unsupervised Domain
Adaptation". https://arxiv.org/abs/1803.10081

As in the paper: the cost alpha ||g(s) - g(t)||² + lambda CE(y_s, f(t)) (equation 5) under the exact
transport plan of the batch, found with the network fixed. Between batches of one size that plan is an
assignment. Alpha 0.001 is that of its authors' code for digits, whose lambda, 0.0001, the preset `paper` has:
it leaves next to nothing of the labels' loss, which the default of 1 counts as the source's is.
"""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from bench.api import AlignmentMethod, Model, Side, tunable


class DeepJdot(AlignmentMethod):
    """Source cross-entropy plus the transport cost of features and labels."""

    reference = "skada 0.6.0"
    presets = {"paper": {"labels": 1e-4}}

    alpha: float = tunable(0.001, 1e-4, 1.0)
    """Weight of the features' distance."""
    labels: float = tunable(1.0, 0.01, 1.0)
    """Weight of the labels' loss, lambda in the paper."""

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """Mean cost of the optimal assignment; where classes differ, of the features alone."""
        return transport_cost(source, target, self.alpha, self.labels)


def transport_cost(source: Side, target: Side, alpha: float, weight: float) -> Tensor:
    """Mean cost of the best assignment of source to target items of two batches of one size: -> ()."""
    cost = alpha * torch.cdist(source.features, target.features).square()
    if source.y is not None:
        log_p = nn.functional.log_softmax(target.logits, 1)
        cost = cost - weight * log_p[:, source.y].T
    rows, columns = linear_sum_assignment(cost.detach().float().cpu().numpy())
    return cost[torch.from_numpy(rows), torch.from_numpy(columns)].mean()
