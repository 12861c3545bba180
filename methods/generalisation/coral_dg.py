"""CORAL between sources: features with the same mean and covariance in all of them.

Sun & Saenko 2016, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation".
https://arxiv.org/abs/1607.01719 Gulrajani & Lopez-Paz 2021, "In Search of Lost Domain Generalization".
https://arxiv.org/abs/2007.01434

As in the code of Gulrajani & Lopez-Paz, which takes the paper's idea from source and target to every two
sources: mean squared differences of means and of covariances, weight 1 (appendix D.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor

from bench.api import GeneralisationMethod, Model, Side, risks, tunable


class CoralDg(GeneralisationMethod):
    """Mean risk of the sources plus the distance of every two in the features' first two moments."""

    reference = "hand-computed case"
    control = {"weight": 0.0}
    fewest = 2

    weight: float = tunable(1.0, 0.1, 10.0)
    """Weight of the distance, gamma in their code."""

    def over_sources(self, model: Model, sources: Mapping[int, Side], progress: float) -> Tensor:
        """Mean risk and mean distance."""
        pairs = combinations([source.features for source in sources.values()], 2)
        return risks(sources).mean() + self.weight * torch.stack([moments(*pair) for pair in pairs]).mean()


def moments(one: Tensor, other: Tensor) -> Tensor:
    """Mean squared difference of means, plus that of covariances, of features (N, D) and (M, D): -> ()."""
    means = (one.mean(0) - other.mean(0)).square().mean()
    return means + (one.T.cov() - other.T.cov()).square().mean()
