"""Training from scratch: the same network without its pretrained weights, which transfer must beat.

He et al. 2019, "Rethinking ImageNet Pre-training". https://arxiv.org/abs/1811.08883
"""

from __future__ import annotations

from bench.api import GradientMethod


class Scratch(GradientMethod):
    """Cross-entropy over all layers of a randomly initialised network."""

    reference = "hand-computed case"
    pretrained = False
