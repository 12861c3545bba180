"""The basis that logistic regression is solved in; the solver itself is tested with the linear probe."""

from __future__ import annotations

import pytest
import torch

from bench.logistic import principal


@pytest.mark.parametrize(("rows", "columns"), [(12, 5), (5, 12), (8, 8), (1, 3), (3, 1)])
def test_principal_coordinates_and_basis_make_up_the_features(rows: int, columns: int) -> None:
    x = torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    coordinates, basis = principal(x)
    assert coordinates.shape == (rows, min(rows, columns))
    torch.testing.assert_close(coordinates @ basis, x)
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis), dtype=torch.float64))
    products = coordinates.T @ coordinates
    torch.testing.assert_close(products, products.diag().diag())
    lengths = torch.linalg.svdvals(x)
    torch.testing.assert_close(coordinates.norm(dim=0).sort(descending=True).values, lengths)


@pytest.mark.parametrize(("rows", "columns"), [(12, 20), (20, 12)])
def test_principal_coordinates_of_features_of_low_rank(rows: int, columns: int) -> None:
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, 2, dtype=torch.float64, generator=random) for size in (rows, columns))
    x = 1e3 * a @ b.T
    coordinates, basis = principal(x)
    torch.testing.assert_close(coordinates @ basis, x)
    assert (coordinates.norm(dim=0) > 1e-6 * coordinates.norm()).sum() == 2


def test_principal_coordinates_of_nothing_are_zero() -> None:
    coordinates, basis = principal(torch.zeros(3, 5, dtype=torch.float64))
    assert not coordinates.any()
    assert basis.isfinite().all()
