"""Boosted trees as tensors, so that they are kept and copied as networks are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

MOST_NODES = 61
"""Nodes of a tree of 31 leaves."""


class Trees(nn.Module):
    """Sum of trees as tensors: rows (B, F) -> logits (B, classes).

    A tree is rows of nodes: at one that is no leaf, what is not above the threshold of its column goes left.
    """

    column: Tensor
    threshold: Tensor
    below: Tensor
    leaf: Tensor
    base: Tensor

    def __init__(self, trees: int, classes: int) -> None:
        super().__init__()
        self.outputs = classes if classes > 2 else 1
        count = trees * self.outputs
        self.value = nn.Parameter(torch.zeros(count, MOST_NODES), requires_grad=False)
        self.register_buffer("column", torch.zeros(count, MOST_NODES, dtype=torch.long))
        self.register_buffer("threshold", torch.zeros(count, MOST_NODES, dtype=torch.float64))
        self.register_buffer("below", torch.zeros(count, MOST_NODES, 2, dtype=torch.long))
        self.register_buffer("leaf", torch.ones(count, MOST_NODES, dtype=torch.bool))
        self.register_buffer("base", torch.zeros(self.outputs))

    @torch.no_grad()
    def take_over(self, grown: Any) -> None:
        """Take over the trees of a fitted classifier, and what it says before the first."""
        self.base.copy_(torch.from_numpy(grown._baseline_prediction).view(-1))
        trees = [tree.nodes for step in grown._predictors for tree in step]
        for place, nodes in enumerate(trees):
            mine = slice(0, len(nodes))
            inside = ~nodes["is_leaf"].astype(bool)
            self.leaf[place, mine] = torch.from_numpy(~inside)
            self.value[place, mine] = torch.from_numpy(nodes["value"]).float()
            self.column[place, mine] = torch.from_numpy(nodes["feature_idx"] * inside)
            self.threshold[place, mine] = torch.from_numpy(nodes["num_threshold"])
            sides = [torch.from_numpy(nodes[side].astype("int64")) for side in ("left", "right")]
            self.below[place, mine] = torch.stack(sides, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits; of two classes, those of the first are zero."""
        trees = torch.arange(len(self.leaf), device=x.device)
        at = x.new_zeros(len(x), len(trees), dtype=torch.long)
        while not (leaf := self.leaf[trees, at]).all():
            right = x.gather(1, self.column[trees, at]) > self.threshold[trees, at]
            at = torch.where(leaf, at, self.below[trees, at, right.long()])
        sums = self.value[trees, at].unflatten(1, (-1, self.outputs)).sum(1) + self.base
        return sums if self.outputs > 1 else torch.cat([torch.zeros_like(sums), sums], dim=1)
