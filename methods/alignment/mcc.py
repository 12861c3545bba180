"""MCC: target predictions whose classes are confused with each other as little as possible.

Jin et al. 2020, "Minimum Class Confusion for Versatile Domain Adaptation". https://arxiv.org/abs/1912.03699

As in the paper: temperature 2.5 (section 4.1), weights by certainty (equation 4), class confusion
normalised by category (equations 5 to 7), trade-off 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.api import AlignmentMethod, Model, Side, entropy, tunable


class Mcc(AlignmentMethod):
    """Source cross-entropy plus the mean confusion between pairs of classes on the target."""

    reference = "pytorch-adapt 0.0.83"
    bounds = {"temperature": "> 0"}
    presets = {"paper": {"learning_rate": 0.005}}
    """As TLlib's script has it, by SGD."""

    temperature: float = tunable(2.5, 1.0, 10.0)

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """Share of confusion that is between different classes."""
        return class_confusion(target.logits, self.temperature)


def class_confusion(logits: Tensor, temperature: float) -> Tensor:
    """Minimum class confusion loss (equation 8) of logits (B, C): -> ()."""
    p = (logits / temperature).softmax(1)
    certainty = 1 + torch.exp(-entropy(p).detach())
    weights = certainty / certainty.mean()
    confusion = p.T @ (weights[:, None] * p)
    # A class that no item may be of is confused with none.
    confusion = confusion / confusion.sum(1, keepdim=True).clamp_min(torch.finfo(p.dtype).tiny)
    return (confusion.sum() - confusion.trace()) / len(confusion)
