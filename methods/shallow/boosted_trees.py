"""Boosted trees: gradient boosting on the columns as they are, without any transfer.

Friedman 2001, "Greedy Function Approximation: A Gradient Boosting Machine".
https://doi.org/10.1214/aos/1013203451

What networks for tables have to beat (Grinsztajn et al. 2022, https://arxiv.org/abs/2207.08815). Histograms
as in LightGBM (Ke et al. 2017), by scikit-learn with its defaults. The network is not asked: at 0 shots the
source's trees answer, else trees of the shots alone. Trees see the order of values, which scaling keeps.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from bench.api import (
    Backbone,
    CellSkipped,
    Details,
    Method,
    Model,
    StageItems,
    StageName,
    Task,
    UserError,
    tunable,
)

MOST_NODES = 61
"""Nodes of a tree of 31 leaves."""


class BoostedTrees(Method):
    """Trees on rows of tables; other items are not taken."""

    reference = "scikit-learn 1.5+"

    rate: float = tunable(0.1, 0.01, 0.5)
    trees: int = 100

    def fits(self, stage: StageName) -> bool:
        """True, in both stages."""
        return True

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Room for the trees, in place of a head."""
        return Model(backbone, self.new_head(backbone.num_features, task))

    def new_head(self, num_features: int, task: Task) -> nn.Module:
        """Trees that say nothing yet."""
        return Trees(self.trees, len(task.classes))

    def replace_head(self, model: Model, task: Task) -> None:
        """Trees for other classes."""
        model.head = self.new_head(0, task)

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Grow the trees on all labelled rows."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        x, y = items.labelled.x, items.labelled.y
        _check_rows(x)
        grown = HistGradientBoostingClassifier(
            learning_rate=self.rate, max_iter=self.trees, early_stopping=False, random_state=task.seed % 2**32
        )
        grown.fit(x.cpu().numpy(), y.cpu().numpy())
        trees = cast(Trees, model.head)
        trees.take_over(grown)
        expected = torch.from_numpy(grown.decision_function(x.cpu().numpy())).view(len(x), -1)
        logits = trees(x).cpu().double()
        found = logits[:, grown.classes_] if expected.shape[1] > 1 else logits[:, 1:]
        if not torch.allclose(found, expected, rtol=1e-4, atol=1e-4):
            raise UserError("this release of scikit-learn keeps its trees in another form than is read here")
        return {"leaves": int(trees.leaf.sum())}

    def predict(self, model: Model, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, classes), and the rows as features (B, F)."""
        _check_rows(x)
        return model.head(x), x


def _check_rows(x: Tensor) -> None:
    if x.ndim != 2 or not x.is_floating_point():
        raise CellSkipped("boosted-trees takes rows of tables, and these items are none")


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
