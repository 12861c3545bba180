"""Deep CORAL: source and target features with the same covariance.

Sun & Saenko 2016, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation".
https://arxiv.org/abs/1607.01719

As in the paper: the squared Frobenius distance of covariances over 4 d² (equation 1). On the pooled
features, where the paper takes the last layer's outputs.
"""

from __future__ import annotations

from torch import Tensor

from bench.api import AlignmentMethod, Model, Side, UserError, tunable


class DeepCoral(AlignmentMethod):
    """Source cross-entropy plus the distance between the covariances of source and target features."""

    reference = "pytorch-adapt 0.0.83"

    weight: float = tunable(1.0, 0.01, 100.0)

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """CORAL loss."""
        return coral(source.features, target.features)


def coral(source: Tensor, target: Tensor) -> Tensor:
    """CORAL loss (equation 1) of features (N, D) and (M, D): -> ().

    Raises:
        UserError: a domain has less than two items.
    """
    if min(len(source), len(target)) < 2:
        raise UserError("a covariance needs two items of each domain: use larger batches")
    return (source.T.cov() - target.T.cov()).square().sum() / (4 * source.shape[1] ** 2)
