"""T3A: class prototypes that move to the certain ones of the test images seen so far.

Iwasawa & Matsuo 2021, "Test-Time Classifier Adjustment Module for Model-Agnostic Domain Generalization",
NeurIPS. https://openreview.net/forum?id=e_yvNqkJKAW

As in the paper (section 4): a set of support vectors per class, which begins with the classifier's weight;
each test feature joins the set of its predicted class; the M of least entropy are kept; prototypes are means
of unit vectors, and predictions products with them, after the batch has joined. As in its published code
prototypes have length one. M is 20: the paper chooses among 1, 5, 20, 50, 100 and all by labels of other
domains.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from bench.api import Access, GradientMethod, Model, entropy


class T3a(GradientMethod):
    """Cross-entropy over all layers; on the stream of test images, prototypes in the classifier's place."""

    reference = "hand-computed case"
    access = Access.SOURCE_LABELS | Access.TARGET_LABELS
    starts_from = "full-finetune"
    control = "full-finetune"
    bounds = {"supports": ">= 1"}

    supports: int = 20
    """Most support vectors of a class, M in the paper."""

    @torch.no_grad()
    def stream(self, model: Model, batches: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Let each batch join the support vectors, then predict it."""
        head = cast(nn.Linear, model.head)
        vectors, labels = head.weight.float(), torch.arange(head.out_features, device=head.weight.device)
        entropies = entropy(head(head.weight).float().softmax(1))
        for x in batches:
            logits, features = self.predict(model, x)
            p, z = logits.float().softmax(1), features.float()
            vectors, labels = torch.cat([vectors, z]), torch.cat([labels, p.argmax(1)])
            entropies = torch.cat([entropies, entropy(p)])
            kept = most_certain(entropies, labels, self.supports)
            vectors, labels, entropies = vectors[kept], labels[kept], entropies[kept]
            yield z @ prototypes_of(vectors, labels, head.out_features).T, features


def most_certain(entropies: Tensor, labels: Tensor, most: int) -> Tensor:
    """Places of the items of least entropy of each class, at most so many: (N,), (N,) -> (K,)."""
    order = entropies.argsort(stable=True)
    members = nn.functional.one_hot(labels[order])
    return order[(members.cumsum(0) * members).sum(1) <= most]


def prototypes_of(vectors: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Directions (C, D) of the sums of each class's unit vectors, of vectors (N, D)."""
    members = nn.functional.one_hot(labels, classes).to(vectors.dtype)
    return nn.functional.normalize(members.T @ nn.functional.normalize(vectors, dim=1), dim=1)
