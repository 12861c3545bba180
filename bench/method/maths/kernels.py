"""Maximum mean discrepancy with Gaussian kernels. Gretton et al. 2012, https://jmlr.org/papers/v13/gretton12a.html."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.core.errors import UserError


def squared_distances(x: Tensor) -> Tensor:
    """Squared Euclidean distances between rows: (N, D) -> (N, N)."""
    # By products, since differences would take N² D numbers. Of centred rows, since distances that are small
    # beside the norms would lose their digits.
    x = x - x.detach().mean(0)
    norms = x.square().sum(1)
    return (norms[:, None] + norms - 2 * x @ x.T).clamp_min(0)


def gaussian_kernels(distances: Tensor, scales: Sequence[float]) -> Tensor:
    """Sum of Gaussian kernels of squared distances (N, N), each bandwidth² a scale times their mean."""
    # Where all rows are the same, so are all values of the kernel.
    mean = distances.detach().mean().clamp_min(1e-12)
    return torch.stack([torch.exp(-distances / (2 * scale * mean)) for scale in scales]).sum(0)


def discrepancy(kernel: Tensor, sources: int) -> Tensor:
    """MMD² of a kernel matrix (N, N) whose first `sources` rows are the source's: -> ().

    Within a domain the mean is over pairs of different items (the unbiased estimate), across over all pairs.

    Raises:
        UserError: a domain has less than two items.
    """
    targets = len(kernel) - sources
    if min(sources, targets) < 2:
        raise UserError("a discrepancy needs two items of each domain: use larger batches")
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
