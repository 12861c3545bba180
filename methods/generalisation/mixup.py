"""Mixup: train on mixtures of two images, with the same mixture of their labels.

Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization". https://arxiv.org/abs/1710.09412

As in the paper (section 2 and its code): one share of Beta(alpha, alpha) a batch, whose images meet each
other in random order, of all sources. Alpha 0.2, of the paper's range for natural images (section 3.1) and
of Gulrajani & Lopez-Paz 2021, appendix D.2 (https://arxiv.org/abs/2007.01434).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.api import Batch, CellSkipped, GradientMethod, Model, tunable


class Mixup(GradientMethod):
    """Cross-entropy of mixed images by both labels."""

    reference = "hand-computed case"
    control = {"alpha": 0.0}

    alpha: float = tunable(0.2, 0.05, 2.0)
    """Both parameters of the share's Beta distribution; 0: images are as they are."""

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Loss of a mixture; `CellSkipped` for items that are indices of tokens."""
        if not self.alpha:
            return super().loss(model, batch, progress)
        if not batch.x.is_floating_point():
            raise CellSkipped("mixup needs items with something in between, which tokens have not")
        share = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
        order = torch.randperm(len(batch.x)).to(batch.x.device)
        logits = model(share * batch.x + (1 - share) * batch.x[order])
        return mixed(logits, batch.y, batch.y[order], share)


def mixed(logits: Tensor, first: Tensor, second: Tensor, share: float) -> Tensor:
    """Cross-entropy of logits (N, C): a share of it by the first labels (N,), the rest by the second."""
    one, other = (nn.functional.cross_entropy(logits, y) for y in (first, second))
    return share * one + (1 - share) * other
