"""CORAL: source features are given the target's covariance before a classifier is fitted to them.

Sun et al. 2016, "Return of Frustratingly Easy Domain Adaptation". https://arxiv.org/abs/1511.05547

As in the paper (algorithm 1): source features are whitened by C_S + I and re-coloured by C_T + I. Moved to
the target's mean as well, where the paper has both domains standardised beforehand. With shots, the target
stage goes on from the source's classifier.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import (
    Access,
    ClosedFormMethod,
    Details,
    Model,
    StageItems,
    Task,
    fit_logistic,
    strength_before,
)


class Coral(ClosedFormMethod):
    """Logistic regression on source features with the mean and covariance of the target."""

    reference = "skada 0.6.0"
    access = Access.SOURCE_LABELS | Access.TARGET_IMAGES | Access.TARGET_LABELS
    needs = Access.SOURCE_LABELS | Access.TARGET_IMAGES
    control = "linear-probe"

    def fit(self, model: Model, items: StageItems, task: Task) -> Details:
        """Fit the head on aligned source features; on the shots as they are."""
        labelled, head = items.labelled, cast(nn.Linear, model.head)
        features = labelled.features(model)
        if task.stage == "source":
            assert items.unlabelled is not None
            features = aligned(features, items.unlabelled.features(model))
        l2 = strength_before(task.before, labelled.y, labelled.groups)
        return fit_logistic(head, features, labelled.y, labelled.groups, task.seed, l2)


def aligned(source: Tensor, target: Tensor) -> Tensor:
    """Source features (N, D) with the mean and covariance of target features (M, D)."""
    whiten = power(source.T.double().cov(), -0.5)
    colour = power(target.T.double().cov(), 0.5)
    moved = (source.double() - source.double().mean(0)) @ whiten @ colour + target.double().mean(0)
    return moved.to(source.dtype)


def power(covariance: Tensor, exponent: float) -> Tensor:
    """Power of a covariance (D, D) plus the identity."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * (values.clamp_min(0) + 1) ** exponent) @ vectors.T
