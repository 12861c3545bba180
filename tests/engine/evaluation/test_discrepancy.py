"""Distances of features against direct loops, scikit-learn and what is known of Gaussians."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from bench.engine.evaluation.discrepancy import L2, domain_scores, mmd, proxy_a_distance


def normal(n: int, shift: float, seed: int, width: int = 3) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, 1.0, (n, width)))


def test_mmd_by_a_loop() -> None:
    x, y = normal(5, 0.0, 1).numpy(), normal(4, 1.0, 2).numpy()
    z = [*x, *y]
    distances = [((z[i] - z[j]) ** 2).sum() for i in range(9) for j in range(i)]

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return math.exp(-((a - b) ** 2).sum() / (2 * np.median(distances)))

    expected = (
        sum(kernel(x[i], x[j]) for i in range(5) for j in range(5) if i != j) / 20
        + sum(kernel(y[i], y[j]) for i in range(4) for j in range(4) if i != j) / 12
        - 2 * sum(kernel(a, b) for a in x for b in y) / 20
    )
    assert mmd(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(expected)


def test_mmd_is_unbiased_and_free_of_scale() -> None:
    same = [mmd(normal(40, 0.0, 2 * seed), normal(40, 0.0, 2 * seed + 1)) for seed in range(50)]
    assert abs(np.mean(same)) < 3 * np.std(same) / math.sqrt(50)
    far = mmd(normal(40, 0.0, 1), normal(40, 1.0, 2))
    assert far > max(same)
    assert mmd(7 * normal(40, 0.0, 1), 7 * normal(40, 1.0, 2)) == pytest.approx(far)


def test_mmd_of_constant_features() -> None:
    assert mmd(torch.ones(5, 2), torch.ones(4, 2)) == pytest.approx(0.0)
    assert math.isfinite(mmd(torch.ones(5, 2), torch.zeros(4, 2)))


def scores(source: Tensor, target: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    found = domain_scores(source, target, np.arange(len(source)), 1000 + np.arange(len(target)), seed)
    assert found
    return found


def test_domain_scores_are_scikit_learns() -> None:
    """The same folds, found by asking which images a classifier of the others scores alike."""
    source, target = normal(20, 0.0, 1), normal(16, 0.7, 2)
    odds = torch.cat(scores(source, target))
    x = torch.cat([source, target]).numpy()
    y = np.repeat([1, 0], [20, 16])
    order = [np.random.default_rng(0).permutation(n) % 2 for n in (20, 16)]
    folds = np.concatenate(order)
    variance = x.var(0).sum()
    for fold in (0, 1):
        seen = folds != fold
        # mean loss + λ v/2 |W|², W two-sided: the difference of both classes' weights has half the penalty.
        c = 1 / (seen.sum() * L2 * variance / 2)
        reference = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(x[seen], y[seen])
        np.testing.assert_allclose(
            odds[folds == fold].numpy(), reference.decision_function(x[~seen]), atol=1e-3
        )


def test_proxy_a_distance() -> None:
    assert proxy_a_distance(torch.tensor([1.0, 2.0]), torch.tensor([-1.0, -2.0])) == 2.0
    assert proxy_a_distance(torch.tensor([1.0, -2.0]), torch.tensor([-1.0, 2.0])) == 0.0
    # Three times as many target images: a classifier that goes by that alone tells nothing apart.
    prior = math.log(2 / 6)
    assert proxy_a_distance(torch.full((2,), prior), torch.full((6,), prior)) == 0.0


def test_proxy_a_distance_of_gaussians() -> None:
    near = [
        proxy_a_distance(*scores(normal(60, 0.0, seed), normal(80, 0.0, 99 + seed))) for seed in range(20)
    ]
    far = proxy_a_distance(*scores(normal(60, 0.0, 1), normal(80, 9.0, 2)))
    assert abs(np.mean(near)) < 0.25
    assert far == 2.0


def test_related_images_are_in_one_fold() -> None:
    """Ten copies of each image: a classifier that had seen a copy would know the domain of the others."""
    random = np.random.default_rng(0)
    source, target = (torch.from_numpy(np.repeat(random.normal(size=(12, 200)), 10, 0)) for _ in range(2))
    groups = np.repeat(np.arange(12), 10)
    together = domain_scores(source, target, groups, 100 + groups, seed=0)
    apart = domain_scores(source, target, np.arange(120), 1000 + np.arange(120), seed=0)
    assert together
    assert apart
    assert abs(proxy_a_distance(*together)) < 1.0
    assert proxy_a_distance(*apart) > 1.5


def test_too_few_groups() -> None:
    x = normal(6, 0.0, 1)
    assert domain_scores(x, x, np.zeros(6, dtype=int), np.arange(6), seed=0) is None
