"""Contrast of images and names: each image is to be nearest to its class's name, each name to its images.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision" (CLIP).
https://arxiv.org/abs/2103.00020
Zhai et al. 2022, "LiT: Zero-Shot Transfer with Locked-image text Tuning". https://arxiv.org/abs/2111.07991

Cosine similarities over a learnt temperature, cross-entropy over names and over images (CLIP, section 2.3).
Both towers are locked (LiT locks one), and a layer between them learns. Images of one class share a name, so
that a name has several positives, over which its loss is a mean, and images are told from all names at hand.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from bench.api import POOLED, Backbone, Batch, GradientMethod, Model, NamedMethod, tunable

FIRST, MOST = 1 / 0.07, 100.0
"""Inverse temperature at the start, and the largest (CLIP, section 2.5)."""


class Projection(nn.Module):
    """Linear layer to vectors of one length, the inverse temperature."""

    def __init__(self, num_features: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_features, width)
        self.scale = nn.Parameter(torch.tensor(math.log(FIRST)))

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) -> (B, E)."""
        return self.scale.exp().clamp(max=MOST) * nn.functional.normalize(self.linear(features))


class NameContrast(NamedMethod, GradientMethod):
    """Cross-entropy of images over names and of names over images, on frozen features."""

    reference = "hand-computed case"
    views = 2

    learning_rate: float = tunable(1e-3, 1e-4, 1e-1)

    def split_point(self, backbone: Backbone) -> str | None:
        """Behind the whole backbone, which is frozen."""
        return POOLED

    def project(self, num_features: int, width: int) -> nn.Module:
        """Make the layer that learns."""
        return Projection(num_features, width)

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Mean of both directions."""
        return contrast(cast(Tensor, model(batch.x)), batch.y)


def contrast(logits: Tensor, y: Tensor) -> Tensor:
    """Contrastive loss of logits (B, C) of images over names, of which some have no image here."""
    to_names = nn.functional.cross_entropy(logits, y)
    own = nn.functional.one_hot(y, logits.shape[1]).to(logits)
    there = own.sum(0) > 0
    to_images = (own * logits.log_softmax(0)).sum(0)[there] / own.sum(0)[there]
    return (to_names - to_images.mean()) / 2
