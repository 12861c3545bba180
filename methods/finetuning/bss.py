"""BSS: fine-tuning that shrinks the features' smallest singular values, along which little transfers.

Chen et al. 2019, "Catastrophic Forgetting Meets Negative Transfer: Batch Spectral Shrinkage for Safe
Transfer Learning", NeurIPS.
https://proceedings.neurips.cc/paper/2019/hash/c6bff625bdb0393992c9d4db0c6bbe45-Abstract.html

As in the paper: the squared smallest singular value of a batch's features (equation 4, k = 1), weight 0.001.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.api import Batch, GradientMethod, Model, tunable


class Bss(GradientMethod):
    """Cross-entropy plus the smallest squared singular values of a batch of features."""

    reference = "hand-computed case"
    control = {"shrinkage": 0.0}
    bounds = {"smallest": ">= 1"}

    shrinkage: float = tunable(0.001, 1e-5, 0.1)
    """Weight of the penalty."""
    smallest: int = 1
    """Number of singular values that are shrunk, k in the paper."""

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Cross-entropy and spectral shrinkage."""
        features = model.features(batch.x)
        label_loss = nn.functional.cross_entropy(model.head(features), batch.y)
        return label_loss + self.shrinkage * spectral_shrinkage(features, self.smallest)


def spectral_shrinkage(features: Tensor, smallest: int) -> Tensor:
    """Sum of the smallest squared singular values of features (B, D): -> ()."""
    return torch.linalg.svdvals(features.float())[-smallest:].square().sum()
