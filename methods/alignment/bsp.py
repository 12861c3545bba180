"""BSP: adversarial alignment in which no single direction of the features may dominate.

Chen et al. 2019, "Transferability vs. Discriminability: Batch Spectral Penalization for Adversarial Domain
Adaptation", ICML. https://proceedings.mlr.press/v97/chen19i.html

As in the paper: DANN, plus the squared largest singular value of each domain's batch (equation 7, k = 1),
weight 1e-4 as in its authors' code. On the pooled features, where they take those of a bottleneck.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.api import AdversarialMethod, Model, Side, tunable


class Bsp(AdversarialMethod):
    """DANN with a penalty on the largest singular values of source and target features."""

    reference = "pytorch-adapt 0.0.83"
    presets = {"paper": {"learning_rate": 0.003, "penalty": 2e-4}}
    """As TLlib's script has it, by SGD."""

    penalty: float = tunable(1e-4, 1e-5, 1e-2)
    """Weight of the penalty beside that of the discriminator."""

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """Discriminator's loss and spectral penalty."""
        spectrum = largest(source.features) + largest(target.features)
        return super().align(model, source, target, progress) + self.penalty * spectrum


def largest(features: Tensor) -> Tensor:
    """Squared largest singular value of features (B, D): -> ()."""
    return torch.linalg.svdvals(features)[0].square()
