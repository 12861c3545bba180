"""JAN: source and target with the same joint distribution of features and predictions.

Long et al. 2017, "Deep Transfer Learning with Joint Adaptation Networks". https://arxiv.org/abs/1605.06636

The joint discrepancy of section 3.1: the product of a kernel on features (bandwidths² from 1/8 to 2 times
the mean squared distance) and one on predicted probabilities (bandwidth 0.92 in absolute units, as in its
authors' code). The unbiased estimate over all pairs, where the paper estimates it in linear time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.api import AlignmentMethod, Model, Side, discrepancy, gaussian_kernels, squared_distances

SCALES = (0.125, 0.25, 0.5, 1.0, 2.0)
BANDWIDTH = 0.92
"""Of the kernel on probabilities, in their own units."""


class Jan(AlignmentMethod):
    """Source cross-entropy plus the joint discrepancy of features and predictions."""

    reference = "dalib 0.2"
    presets = {"paper": {"learning_rate": 0.003, "weight_decay": 0.0005}}
    """As TLlib's script has it, by SGD."""

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """JMMD² of features and probabilities."""
        features = torch.cat([source.features, target.features])
        return joint(features, torch.cat([source.probabilities, target.probabilities]), len(source.features))


def joint(features: Tensor, probabilities: Tensor, sources: int) -> Tensor:
    """JMMD² of features (N, D) and probabilities (N, C), the first `sources` rows the source's: -> ()."""
    of_features = gaussian_kernels(squared_distances(features), SCALES)
    of_probabilities = torch.exp(-squared_distances(probabilities) / (2 * BANDWIDTH**2))
    return discrepancy(of_features * of_probabilities, sources)
