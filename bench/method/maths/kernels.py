"""Maximum mean discrepancy with Gaussian kernels. Gretton et al. 2012, https://jmlr.org/papers/v13/gretton12a.html."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def squared_distances(x: Tensor) -> Tensor:
    """Squared Euclidean distances between rows: (N, D) -> (N, N)."""
    # By differences: by products, distances that are small beside the norms lose their digits.
    return (x[:, None] - x[None]).square().sum(2)


def gaussian_kernels(distances: Tensor, scales: Sequence[float]) -> Tensor:
    """Sum of Gaussian kernels of squared distances (N, N), each bandwidth² a scale times their mean."""
    mean = distances.detach().mean()
    return torch.stack([torch.exp(-distances / (2 * scale * mean)) for scale in scales]).sum(0)


def discrepancy(kernel: Tensor, sources: int) -> Tensor:
    """MMD² of a kernel matrix (N, N) whose first `sources` rows are the source's: -> ().

    Within a domain the mean is over pairs of different items (the unbiased estimate), across over all pairs.
    """
    targets = len(kernel) - sources
    source, across, target = (
        kernel[:sources, :sources],
        kernel[:sources, sources:],
        kernel[sources:, sources:],
    )
    return (
        (source.sum() - source.diagonal().sum()) / (sources * (sources - 1))
        + (target.sum() - target.diagonal().sum()) / (targets * (targets - 1))
        - 2 * across.mean()
    )
