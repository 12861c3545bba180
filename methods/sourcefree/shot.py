"""SHOT: the source's classifier stays as it is, and target features learn to be certain and diverse under it.

Liang et al. 2020, "Do We Really Need to Access the Source Data? Source Hypothesis Transfer for Unsupervised
Domain Adaptation". https://arxiv.org/abs/2002.08546

As in the paper (section 3): a frozen classifier, information maximisation, and cross-entropy with
pseudo-labels by the nearest of two rounds of centroids, weighted 0.3 (section 4.1) and found anew fifteen
times, as often as it passes the target. Unlike it: the source's network is that of `full-finetune`, which
methods of this family share, without a bottleneck, a weight-normalised classifier and smoothed labels, so
that they differ by how they adapt alone. Shots add their cross-entropy, and train the classifier too.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import Access, Batch, GradientMethod, Model, StageItems, Task, entropy, tunable


class Shot(GradientMethod):
    """Information maximisation and self-supervised pseudo-labels on the target, by a fixed classifier."""

    reference = "pytorch-adapt 0.0.83"
    access = Access.SOURCE_LABELS | Access.TARGET_IMAGES | Access.TARGET_LABELS
    needs = Access.SOURCE_LABELS | Access.TARGET_IMAGES
    adapts = True
    starts_from = "full-finetune"
    control = "full-finetune"
    bounds = {"refreshes": ">= 1"}

    weight: float = tunable(0.3, 0.03, 1.0)
    """Weight of the pseudo-labels' cross-entropy, beta in the paper."""
    refreshes: int = 15
    """Times in a stage that pseudo-labels are found."""

    def begin(self, model: Model, items: StageItems, task: Task) -> None:
        """Freeze the classifier where there are no labels, and make room for pseudo-labels."""
        assert items.unlabelled is not None
        model.head.requires_grad_(task.stage != "adapt")
        labels = items.labelled.y.new_zeros(len(items.unlabelled))
        model.register_buffer("pseudo_labels", labels, persistent=False)

    def refresh_at(self, model: Model) -> tuple[float, ...]:
        """Moments at equal distances, the stage's beginning first."""
        return tuple(number / self.refreshes for number in range(self.refreshes))

    @torch.no_grad()
    def refresh(self, model: Model, items: StageItems, progress: float) -> None:
        """Find the pseudo-labels of all unlabelled items."""
        assert items.unlabelled is not None
        features = items.unlabelled.features(model)
        cast(Tensor, model.pseudo_labels).copy_(pseudo_labels(features, model.head(features).softmax(1)))

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Cross-entropy of the shots, if any, information loss, and cross-entropy with pseudo-labels."""
        assert batch.target_x is not None
        logits = model(torch.cat([batch.x, batch.target_x])).float()
        shots, target = logits.split([len(batch.x), len(batch.target_x)])
        label_loss = nn.functional.cross_entropy(shots, batch.y, reduction="sum") / max(1, len(batch.y))
        labels = cast(Tensor, model.pseudo_labels)[batch.target_at]
        pseudo_label_loss = nn.functional.cross_entropy(target, labels)
        return label_loss + information_loss(target.softmax(1)) + self.weight * pseudo_label_loss


def information_loss(p: Tensor) -> Tensor:
    """Mean entropy less the entropy of the mean (equation 3) of predictions (B, C): -> ()."""
    return entropy(p).mean() - entropy(p.mean(0, keepdim=True)).sum()


def pseudo_labels(features: Tensor, p: Tensor) -> Tensor:
    """Classes (N,) of the nearest centroids by cosine, of features (N, D) and predictions (N, C).

    Centroids are means of all features by their predictions, then of those that are nearest to each
    (equations 4 to 6). A class that no item belongs to has none.
    """
    directions, classes = nn.functional.normalize(features, dim=1), p.shape[1]
    labels, weights = p.argmax(1), p
    for _ in range(2):
        cosines = directions @ nn.functional.normalize(weights.T @ features, dim=1).T
        nobody = nn.functional.one_hot(labels, classes).sum(0) == 0
        labels = cosines.masked_fill(nobody, -torch.inf).argmax(1)
        weights = nn.functional.one_hot(labels, classes).to(p.dtype)
    return labels
