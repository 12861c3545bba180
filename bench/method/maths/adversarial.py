"""Domain discriminators behind reversed gradients. Ganin et al. 2016, https://arxiv.org/abs/1505.07818."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * grads[0], None


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    """Reverse the gradient: the identity forwards; backwards the gradient times `-strength` (section 4.2)."""
    out: Tensor = _ReverseGradient.apply(x, strength)
    return out


def reversal_strength(progress: float, gamma: float = 10.0) -> float:
    """Strength that rises from 0 to 1: 2 / (1 + exp(-gamma p)) - 1 (section 5.2)."""
    return 2.0 / (1.0 + math.exp(-gamma * progress)) - 1.0


def discriminator(inputs: int, hidden: int) -> nn.Sequential:
    """Network (N, inputs) -> (N, 1) with two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
    )


def domain_loss(logits: Tensor, sources: int, weights: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of (N,) domain logits, the first `sources` of which are the source's: -> ().

    `weights` (N,) multiply the terms of the mean.
    """
    is_source = (torch.arange(len(logits), device=logits.device) < sources).to(logits.dtype)
    return nn.functional.binary_cross_entropy_with_logits(logits, is_source, weights)
