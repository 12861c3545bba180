"""NRC: target items agree with their nearest neighbours, most with those whose neighbours they are.

Yang et al. 2021, "Exploiting the Intrinsic Neighborhood Structure for Source-free Domain Adaptation".
https://arxiv.org/abs/2110.04202

As in the paper (section 3): banks of features and predictions of all target items; dot products of
predictions with those of K nearest neighbours, weighted 1 where they are reciprocal and 0.1 elsewhere, of
their M neighbours, weighted 0.1, and with an item's own; the divergence of the mean prediction from
uniformity. K = 3 and M = 2, as in its scripts for Office-Home. Unlike it: the source's network is that of
`full-finetune`, without a bottleneck, a weight-normalised classifier and smoothed labels. Shots add their
cross-entropy.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import Access, Batch, GradientMethod, Model, StageItems, Task, entropy, tunable


class Nrc(GradientMethod):
    """Agreement with neighbours, their neighbours and oneself, and diverse predictions, on the target."""

    reference = "hand-computed case"
    access = Access.SOURCE_LABELS | Access.TARGET_IMAGES | Access.TARGET_LABELS
    needs = Access.SOURCE_LABELS | Access.TARGET_IMAGES
    adapts = True
    starts_from = "full-finetune"
    control = "full-finetune"
    bounds = {"neighbours": ">= 1", "expanded": ">= 1"}

    neighbours: int = 3
    """Nearest neighbours of an item, K in the paper."""
    expanded: int = 2
    """Nearest neighbours of each of those, M in the paper."""
    affinity: float = tunable(0.1, 0.01, 1.0)
    """Weight of neighbours that are not reciprocal, r in the paper."""

    def begin(self, model: Model, items: StageItems, task: Task) -> None:
        """Make room for features and predictions."""
        assert items.unlabelled is not None
        width = cast(nn.Linear, model.head).in_features
        for name, columns in (("features_bank", width), ("predictions_bank", len(task.classes))):
            bank = torch.zeros(len(items.unlabelled), columns, device=items.labelled.y.device)
            model.register_buffer(name, bank, persistent=False)

    def refresh_at(self, model: Model) -> tuple[float, ...]:
        """Moment of the stage's beginning."""
        return (0.0,)

    @torch.no_grad()
    def refresh(self, model: Model, items: StageItems, progress: float) -> None:
        """Fill the banks by all unlabelled items."""
        assert items.unlabelled is not None
        features = items.unlabelled.features(model)
        cast(Tensor, model.features_bank).copy_(nn.functional.normalize(features, dim=1))
        cast(Tensor, model.predictions_bank).copy_(model.head(features).softmax(1))

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Cross-entropy of the shots, if any, disagreement of neighbours, and negative diversity."""
        assert batch.target_x is not None
        assert batch.target_at is not None
        features, at = model.features(torch.cat([batch.x, batch.target_x])), batch.target_at
        shots, target = model.head(features).float().split([len(batch.x), len(batch.target_x)])
        label_loss = nn.functional.cross_entropy(shots, batch.y, reduction="sum") / max(1, len(batch.y))
        p, z = target.softmax(1), nn.functional.normalize(features[len(batch.x) :].float(), dim=1)
        banks = cast(Tensor, model.features_bank), cast(Tensor, model.predictions_bank)
        # An item that is in the batch twice is remembered as it is there first.
        first = (at[:, None] == at).int().argmax(1)
        for bank, seen in zip(banks, (z, p), strict=True):
            bank[at] = seen.detach()[first]
        near = neighbours(banks[0], at, self.neighbours)
        further = neighbours(banks[0], near, self.expanded)
        diversity = entropy(p.mean(0, keepdim=True)).sum()
        return label_loss + disagreement(p, at, banks[1], near, further, self.affinity) - diversity


def neighbours(bank: Tensor, at: Tensor, most: int) -> Tensor:
    """Places (..., most) of the nearest others of items at (...), of a bank (N, D) of unit vectors."""
    cosines = (bank[at] @ bank.T).scatter(-1, at[..., None], -torch.inf)
    return cosines.topk(min(most, len(bank) - 1), -1).indices


def disagreement(
    p: Tensor, at: Tensor, bank: Tensor, near: Tensor, further: Tensor, affinity: float
) -> Tensor:
    """Negative weighted agreement (equations 2 to 6): -> ().

    Of predictions p (B, C) of items at (B,) with those in a bank (N, C) of their neighbours near (B, K), of
    these ones' neighbours further (B, K, M), and of themselves.
    """
    reciprocal = (further == at[:, None, None]).any(2)
    weights = reciprocal + affinity * ~reciprocal
    close = (weights * (bank[near] @ p[:, :, None])[..., 0]).sum(1)
    wide = affinity * (bank[further].flatten(1, 2) @ p[:, :, None]).sum((1, 2))
    return -(close + wide + (bank[at] * p).sum(1)).mean()
