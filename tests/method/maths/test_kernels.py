"""Maximum mean discrepancy by hand."""

from __future__ import annotations

import math

import pytest
import torch

from bench.api import UserError, discrepancy, gaussian_kernels, squared_distances


def test_squared_distances_by_hand() -> None:
    distances = squared_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]]))
    torch.testing.assert_close(distances, torch.tensor([[0.0, 25, 9], [25, 0, 16], [9, 16, 0]]))


def test_squared_distances_far_from_the_origin() -> None:
    """The origin is of no consequence: neither to distances nor to their gradient."""
    torch.manual_seed(0)
    near = torch.randn(6, 3)
    far = (near + 1024).requires_grad_()
    expected = (far.double()[:, None] - far.double()[None]).square().sum(2)
    weights = torch.randn(6, 6)
    torch.testing.assert_close(squared_distances(far), expected.float(), rtol=1e-5, atol=1e-5)
    ours, theirs = (
        torch.autograd.grad((d * weights).sum(), far)[0] for d in (squared_distances(far), expected)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_gaussian_kernels_by_hand() -> None:
    """Distances 0, 1, 1, 0 have the mean 1/2: bandwidths² 1/2 and 1 at scales 1 and 2."""
    kernel = gaussian_kernels(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), (1.0, 2.0))
    across = math.exp(-1) + math.exp(-1 / 2)
    torch.testing.assert_close(kernel, torch.tensor([[2.0, across], [across, 2.0]]))


def test_bandwidths_get_no_gradient() -> None:
    """d/dx exp(-x / (2 m)) at x = 1, where m = 1/2 is taken as it is: -exp(-1)."""
    distances = torch.tensor([[0.0, 1.0], [1.0, 0.0]], requires_grad=True)
    gaussian_kernels(distances, (1.0,))[0, 1].backward()
    assert distances.grad is not None
    assert distances.grad[0, 1].item() == pytest.approx(-math.exp(-1))
    assert distances.grad[1, 0].item() == 0.0


def test_kernels_of_rows_that_are_the_same() -> None:
    x = torch.ones(4, 3, requires_grad=True)
    kernel = gaussian_kernels(squared_distances(x), (0.5, 1.0))
    assert torch.equal(kernel, torch.full((4, 4), 2.0))
    discrepancy(kernel, 2).backward()
    assert x.grad is not None
    assert not x.grad.any()


def test_discrepancy_by_hand() -> None:
    """Two source and three target rows: pairs of different items within, all pairs across."""
    kernel = torch.tensor(
        [
            [9.0, 1.0, 0.1, 0.2, 0.3],
            [1.0, 9.0, 0.4, 0.5, 0.6],
            [0.1, 0.4, 9.0, 2.0, 3.0],
            [0.2, 0.5, 2.0, 9.0, 4.0],
            [0.3, 0.6, 3.0, 4.0, 9.0],
        ]
    )
    expected = 1.0 + (2.0 + 3.0 + 4.0) / 3 - 2 * (0.1 + 0.2 + 0.3 + 0.4 + 0.5 + 0.6) / 6
    assert discrepancy(kernel, 2).item() == pytest.approx(expected)


@pytest.mark.parametrize("sources", [1, 3])
def test_discrepancy_of_one_item(sources: int) -> None:
    with pytest.raises(UserError, match="two items of each domain: use larger batches"):
        discrepancy(torch.ones(4, 4), sources)
