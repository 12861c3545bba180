"""MCD: two classifiers that are made to disagree on the target, and features that make them agree.

Saito et al. 2018, "Maximum Classifier Discrepancy for Unsupervised Domain Adaptation".
https://arxiv.org/abs/1712.02560

As in the paper (section 3.3): each step trains all by the labels (A), then the classifiers by labels minus
the discrepancy of their predictions, an L1 distance (B, equation 9), then the features by the discrepancy,
four times (C). Predictions are the mean of both classifiers' logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from bench.api import Access, Batch, GradientMethod, Model, Task, Update, tunable


class TwoHeads(nn.Module):
    """Two linear classifiers, whose logits are averaged."""

    def __init__(self, in_features: int, classes: int) -> None:
        super().__init__()
        self.in_features = in_features
        self.both = nn.ModuleList([nn.Linear(in_features, classes) for _ in range(2)])

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, classes)."""
        first, second = (head(features) for head in self.both)
        out: Tensor = (first + second) / 2
        return out


class Mcd(GradientMethod):
    """Labels, and a game of two classifiers against the features over their discrepancy on the target."""

    reference = "dalib 0.2"
    access = Access.SOURCE_LABELS | Access.SOURCE_REPLAY | Access.TARGET_IMAGES | Access.TARGET_LABELS
    needs = Access.SOURCE_LABELS | Access.TARGET_IMAGES
    control = {"weight": 0.0}
    bounds = {"repeats": ">= 0"}
    presets = {"paper": {"learning_rate": 0.001, "weight_decay": 0.0005}}
    """As TLlib's script has it, by SGD; its weight is another for each dataset, and stands in suites."""

    weight: float = tunable(1.0, 0.01, 3.0)
    """Trade-off between the label loss and the discrepancy."""
    repeats: int = 4
    """Updates of the features in a step, n in the paper."""

    def new_head(self, num_features: int, task: Task) -> nn.Module:
        """Make two classifiers."""
        return TwoHeads(num_features, len(task.classes))

    def updates(self, model: Model, batch: Batch, progress: float) -> Iterator[Update]:
        """Steps A, B and C."""
        assert batch.target_x is not None
        _, y = batch.known()
        replayed = batch.x[:0] if batch.source_x is None or batch.source_y is None else batch.source_x
        streams = (batch.x, replayed, batch.target_x)
        heads = cast(TwoHeads, model.head)
        known = torch.cat(model.joint(streams[:2], batch.sides[:2]))
        yield label_loss(heads, known, y), model.parameters()
        *labelled, target = (features.detach() for features in model.joint(streams, batch.sides))
        labels = label_loss(heads, torch.cat(labelled), y)
        yield labels - self.weight * discrepancy(heads, target), heads.parameters()
        for _ in range(self.repeats):
            *_, target = model.joint(streams, batch.sides)
            yield self.weight * discrepancy(heads, target), model.backbone.parameters()


def label_loss(heads: TwoHeads, features: Tensor, y: Tensor) -> Tensor:
    """Sum of both classifiers' cross-entropies: -> ()."""
    return torch.stack([nn.functional.cross_entropy(head(features), y) for head in heads.both]).sum()


def discrepancy(heads: TwoHeads, features: Tensor) -> Tensor:
    """Mean absolute difference of both classifiers' probabilities (equation 2): -> ()."""
    first, second = (head(features).softmax(1) for head in heads.both)
    return (first - second).abs().mean()
