"""The basis that logistic regression is solved in; the solver itself is tested with the linear probe."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.method.maths.logistic import Logistic, grouped_folds, principal


@pytest.mark.parametrize(("rows", "columns"), [(12, 5), (5, 12), (8, 8), (1, 3), (3, 1)])
def test_principal_coordinates_and_basis_make_up_the_features(rows: int, columns: int) -> None:
    x = torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    coordinates, back = principal(x)
    basis = back(torch.eye(coordinates.shape[1], dtype=torch.float64)).T
    assert coordinates.shape == (rows, min(rows, columns))
    torch.testing.assert_close(coordinates @ basis, x)
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis), dtype=torch.float64))
    products = coordinates.T @ coordinates
    torch.testing.assert_close(products, products.diag().diag())
    lengths = torch.linalg.svdvals(x)
    torch.testing.assert_close(coordinates.norm(dim=0).sort(descending=True).values, lengths)


def test_shares_of_classes_are_weights_of_labels() -> None:
    """An item of which three quarters are one class's is as four items."""
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(6, 3, dtype=torch.float64, generator=random), torch.arange(6) % 2
    shares = 0.25 + 0.5 * torch.nn.functional.one_hot(y, 2).double()
    zeros = torch.zeros(3, 2, dtype=torch.float64)
    soft = Logistic(x, shares, zeros, zeros[0])
    hard = Logistic(torch.cat([x] * 4), torch.cat([y, y, y, 1 - y]), zeros, zeros[0])
    ours, expected = (problem.weights(problem.solve(0.1)) for problem in (soft, hard))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(12, 20), (20, 12)])
def test_principal_coordinates_of_features_of_low_rank(rows: int, columns: int) -> None:
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, 2, dtype=torch.float64, generator=random) for size in (rows, columns))
    x = 1e3 * a @ b.T
    coordinates, back = principal(x)
    basis = back(torch.eye(coordinates.shape[1], dtype=torch.float64)).T
    torch.testing.assert_close(coordinates @ basis, x)
    assert (coordinates.norm(dim=0) > 1e-6 * coordinates.norm()).sum() == 2


def test_principal_coordinates_of_nothing_are_zero() -> None:
    coordinates, back = principal(torch.zeros(3, 5, dtype=torch.float64))
    assert not coordinates.any()
    assert back(torch.ones(3, 1, dtype=torch.float64)).isfinite().all()


# Per image a (class, group within the class).
IMAGES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=1, max_size=60)


@given(IMAGES, st.integers(0, 6), st.integers(0, 3))
def test_folds_of_whole_groups_that_know_every_class(
    images: list[tuple[int, int]], wanted: int, seed: int
) -> None:
    y, groups = np.array([label for label, _ in images]), np.array([10 * a + b for a, b in images])
    learns = grouped_folds(y, groups, wanted, seed)
    fewest = min(len(np.unique(groups[y == label])) for label in np.unique(y))
    assert len(learns) == (min(wanted, fewest) if min(wanted, fewest) > 1 else 0)
    assert learns.shape[1] == len(y)
    if not len(learns):
        return
    assert ((~learns).sum(0) == 1).all(), "each image is held out once"
    for fold in learns:
        assert not set(groups[fold]) & set(groups[~fold])
        assert set(y[fold]) == set(y[~fold]) == set(y)
    # Neither a class's groups nor all of them are dealt unevenly.
    for those in (np.ones(len(y), bool), *(y == label for label in np.unique(y))):
        held = [len(np.unique(groups[~fold & those])) for fold in learns]
        assert max(held) - min(held) <= 1


def test_folds_are_drawn_by_their_seed() -> None:
    y, groups = np.zeros(40, int), np.arange(40)
    one, again, other = (grouped_folds(y, groups, 5, seed) for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()


def test_a_group_of_two_classes_stays_together() -> None:
    y, groups = np.array([0, 0, 0, 1, 1, 1]), np.array([7, 8, 9, 7, 5, 6])
    learns = grouped_folds(y, groups, 3, 0)
    assert (learns[:, 0] == learns[:, 3]).all()
    assert ((~learns).sum(0) == 1).all()
