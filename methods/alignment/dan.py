"""DAN: source and target features with the same mean in the space of several Gaussian kernels.

Long et al. 2015, "Learning Transferable Features with Deep Adaptation Networks".
https://arxiv.org/abs/1502.02791

The multi-kernel MMD of section 3.1: the unbiased estimate over all pairs, where the paper estimates it in
linear time, with equal weights of five kernels, where it solves for the weights; bandwidths² from 1/8 to 2
times the mean squared distance. On the pooled features, where the paper aligns three fully connected layers
of AlexNet.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.api import AlignmentMethod, Model, Side, discrepancy, gaussian_kernels, squared_distances

SCALES = (0.125, 0.25, 0.5, 1.0, 2.0)


class Dan(AlignmentMethod):
    """Source cross-entropy plus the multi-kernel discrepancy of source and target features."""

    reference = "dalib 0.2"
    presets = {"paper": {"learning_rate": 0.003, "weight_decay": 0.0005}}
    """As TLlib's script has it, by SGD."""

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """MK-MMD² of the features."""
        return multi_kernel(source.features, target.features)


def multi_kernel(source: Tensor, target: Tensor) -> Tensor:
    """MK-MMD² of features (N, D) and (M, D): -> ()."""
    distances = squared_distances(torch.cat([source, target]))
    return discrepancy(gaussian_kernels(distances, SCALES), len(source))
