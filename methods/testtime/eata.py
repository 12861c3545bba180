"""EATA: TENT that learns from certain and from new test images alone, from the most certain ones most.

Niu et al. 2022, "Efficient Test-Time Model Adaptation without Forgetting". https://arxiv.org/abs/2204.02610

As in the paper (section 4.1): images with an entropy below 0.4 ln C, weighted by exp(0.4 ln C - entropy)
(equation 3), whose predictions are unlike the average of those learnt from before, which moves by a tenth
(equations 4 and 5); SGD at 2.5e-4 with momentum 0.9 and batches of 64, as for ImageNet. Unlike it: the bound
on that likeness, 0.05 for 1000 classes, is 0.05 sqrt(1000 / C) for C, since a certain prediction is like a
uniform average by 1 / sqrt(C) (for 10 classes the paper has 0.4). The Fisher regulariser of section 4.2 is
left out, which makes it the paper's ETA: it keeps accuracy on source images, which the adapted copy is never
asked for, and is computed from images of the source's kind, which a stream has none of.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from bench.api import Access, GradientMethod, Model, entropy, normalise_by_batch, tunable


class Eata(GradientMethod):
    """Cross-entropy over all layers; on the stream, minimal entropy of chosen images over normalisation."""

    reference = "hand-computed case"
    access = Access.SOURCE_LABELS | Access.TARGET_LABELS
    starts_from = "full-finetune"
    control = "full-finetune"

    step_size: float = tunable(2.5e-4, 1e-5, 1e-2)
    """Learning rate of SGD on the stream."""
    certain: float = tunable(0.4, 0.1, 1.0)
    """Bound on the entropy, as a share of its largest value."""
    likeness: float = tunable(0.05, 0.01, 0.5)
    """Bound on the cosine with the average prediction where there are 1000 classes."""

    def stream(self, model: Model, batches: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Predict each batch, then take a step by the images that are worth it, if any."""
        affine = normalise_by_batch(model)
        optimizer = torch.optim.SGD(affine, lr=self.step_size, momentum=0.9) if affine else None
        average: Tensor | None = None
        for x in batches:
            logits, features = self.predict(model, x)
            p = logits.float().softmax(1)
            chosen = self.worth(p.detach(), average)
            if optimizer and chosen.any():
                optimizer.zero_grad()
                entropies = entropy(p[chosen])
                (entropies * (self.bound(p) - entropies.detach()).exp()).mean().backward()
                optimizer.step()
                mean = p.detach()[chosen].mean(0)
                average = mean if average is None else 0.9 * average + 0.1 * mean
            yield logits, features

    def worth(self, p: Tensor, average: Tensor | None) -> Tensor:
        """Which predictions (B, C) are certain, and unlike the average (C,): -> (B,)."""
        certain = entropy(p) < self.bound(p)
        if average is None:
            return certain
        likeness = self.likeness * (1000 / p.shape[1]) ** 0.5
        return certain & (nn.functional.cosine_similarity(p, average[None]) < likeness)

    def bound(self, p: Tensor) -> float:
        """Entropy below which a prediction (B, C) is certain, E0 in the paper."""
        return self.certain * math.log(p.shape[1])
