"""Boosted trees: gradient boosting on the columns as they are, without any transfer.

Friedman 2001, "Greedy Function Approximation: A Gradient Boosting Machine".
https://doi.org/10.1214/aos/1013203451

What networks for tables have to beat (Grinsztajn et al. 2022, https://arxiv.org/abs/2207.08815). Histograms
as in LightGBM (Ke et al. 2017), by scikit-learn with its defaults. The network is not asked: at 0 shots the
source's trees answer, else trees of the shots alone. Trees see the order of values, which scaling keeps.
"""

from __future__ import annotations

from typing import cast

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
    Trees,
    UserError,
    tunable,
)


class BoostedTrees(Method):
    """Trees on rows of tables; other items are not taken."""

    reference = "scikit-learn 1.5+"
    bounds = {"rate": "> 0", "trees": ">= 1"}

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
