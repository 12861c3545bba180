"""Entropy of predictions."""

from __future__ import annotations

from torch import Tensor


def entropy(probabilities: Tensor) -> Tensor:
    """Shannon entropy in nats of each row: (N, C) -> (N,)."""
    return -(probabilities * probabilities.clamp_min(1e-8).log()).sum(1)
