"""TENT: normalisation that is adapted to each batch of test images, by the entropy of its predictions.

Wang et al. 2021, "Tent: Fully Test-Time Adaptation by Entropy Minimization". https://arxiv.org/abs/2006.10726

As in the paper (section 3): scale and shift of all normalisation layers alone, batch norm by the statistics
of the batch, one step a batch by the mean Shannon entropy, online, predictions from the pass before the
step. Adam at 1e-3, as for CIFAR and batches of 200 (section 4).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bench.api import Access, GradientMethod, Model, entropy, normalise_by_batch, tunable


class Tent(GradientMethod):
    """Cross-entropy over all layers; on the stream of test images, minimal entropy over normalisation."""

    reference = "pytorch-adapt 0.0.83"
    access = Access.SOURCE_LABELS | Access.TARGET_LABELS
    starts_from = "full-finetune"
    control = "full-finetune"

    step_size: float = tunable(1e-3, 1e-5, 1e-2)
    """Adam's learning rate on the stream."""

    def stream(self, model: Model, batches: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Predict each batch, then take a step by its entropy."""
        affine = normalise_by_batch(model)
        optimizer = torch.optim.Adam(affine, lr=self.step_size) if affine else None
        for x in batches:
            logits, features = self.predict(model, x)
            if optimizer:
                optimizer.zero_grad()
                entropy(logits.float().softmax(1)).mean().backward()
                optimizer.step()
            yield logits, features
