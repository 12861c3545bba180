"""BNM: target predictions that are certain and of many classes, by the nuclear norm of a batch.

Cui et al. 2020, "Towards Discriminability and Diversity: Batch Nuclear-norm Maximization under Label
Insufficient Situations". https://arxiv.org/abs/2003.12237

As in the paper: minus the nuclear norm of the batch's probabilities over its size (equation 11), trade-off
1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.api import AlignmentMethod, Model, Side


class Bnm(AlignmentMethod):
    """Source cross-entropy minus the nuclear norm of the target's predictions."""

    reference = "pytorch-adapt 0.0.83"

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """Negative batch nuclear norm."""
        return -torch.linalg.svdvals(target.probabilities).sum() / len(target.features)
