"""Transferability scores against definitions worked out by other means, and by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from bench.engine.evaluation.transferability import h_score, leep, log_me, shrunk_h_score, trans_rate


def task(n: int = 12, d: int = 3, classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return random.normal(size=(n, d)) + labels[:, None] * np.arange(d), labels


def best_evidence(features: np.ndarray, y: np.ndarray) -> float:
    """max over α, β of log N(y; 0, I / β + F F' / α), by a general optimiser."""

    def loss(logs: np.ndarray) -> float:
        alpha, beta = np.exp(logs)
        covariance = np.eye(len(y)) / beta + features @ features.T / alpha
        return -float(stats.multivariate_normal(np.zeros(len(y)), covariance).logpdf(y))

    options = {"xatol": 1e-10, "fatol": 1e-12, "maxiter": 10_000}
    return -float(optimize.minimize(loss, np.zeros(2), method="Nelder-Mead", options=options).fun)


@pytest.mark.parametrize(("n", "d"), [(12, 3), (9, 4), (6, 9)])
def test_log_me_is_the_highest_evidence(n: int, d: int) -> None:
    features, labels = task(n, d)
    expected = np.mean([best_evidence(features, (labels == c).astype(float)) for c in (0, 1)]) / n
    assert log_me(features, labels) == pytest.approx(expected, abs=1e-6)


def test_log_me_by_hand() -> None:
    """Images at ±1 of one feature, y = (1, 0): half of |y|² lies along the feature, half across it.

    Along it y has variance 1/β + 2/α, across it 1/β; each is best at the square of y's part there, 1/2, which
    is α = ∞: twice log N(√(1/2); 0, 1/2).
    """
    features, labels = np.array([[1.0], [-1.0]]), np.array([0, 1])
    expected = 2 * stats.norm(0, math.sqrt(0.5)).logpdf(math.sqrt(0.5)) / 2
    assert log_me(features, labels) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("score", [h_score, shrunk_h_score, trans_rate])
def test_features_that_never_vary_say_nothing(score: Callable[[np.ndarray, np.ndarray], float]) -> None:
    assert score(np.ones((6, 3)), np.arange(6) % 2) == 0.0


def test_shrunk_h_score_where_nothing_is_shrunk() -> None:
    """Two images have one outer product about their mean: the amount is 0, the covariance singular."""
    assert shrunk_h_score(np.array([[1.0, 2.0], [-1.0, -2.0]]), np.array([0, 1])) == pytest.approx(1.0)


def test_h_score_by_hand() -> None:
    """One feature, classes at 0, 2 and 4, 6: total variance 5, of which 4 between classes."""
    features, labels = np.array([[0.0], [2.0], [4.0], [6.0]]), np.array([0, 0, 1, 1])
    assert h_score(features, labels) == pytest.approx(0.8, abs=1e-12)
    # A second feature, uncorrelated with the first: (0, 2, 2, 0) says nothing of the class.
    both = np.hstack([features, [[0.0], [2.0], [2.0], [0.0]]])
    assert h_score(both, labels) == pytest.approx(0.8, abs=1e-12)


def test_h_score_of_more_features_than_images_says_nothing() -> None:
    """Which is why there is the shrunk one, which does tell noise from signal."""
    noise, labels = np.random.default_rng(0).normal(size=(20, 50)), np.arange(20) % 4
    signal = noise + 5 * np.eye(50)[labels]
    assert h_score(noise, labels) == pytest.approx(3.0)
    assert h_score(signal, labels) == pytest.approx(3.0)
    assert shrunk_h_score(signal, labels) > 2 * shrunk_h_score(noise, labels)


def test_shrunk_h_score_by_its_parts() -> None:
    from sklearn.covariance import LedoitWolf

    features, labels = task(20, 4)
    fitted = LedoitWolf().fit(features)
    means = np.stack([features[labels == c].mean(0) for c in labels]) - features.mean(0)
    between = means.T @ means / 20
    expected = (1 - fitted.shrinkage_) * np.trace(np.linalg.inv(fitted.covariance_) @ between)
    assert shrunk_h_score(features, labels) == pytest.approx(expected, abs=1e-9)


def test_leep_by_hand() -> None:
    """Source class 0 for images of class 0, 1 for class 1: certain. No information: log(1/2)."""
    labels = np.array([0, 0, 1, 1])
    assert leep(np.eye(2)[labels], labels) == pytest.approx(0.0)
    assert leep(np.full((4, 3), 1 / 3), labels) == pytest.approx(math.log(0.5))
    # θ = (.75, .25) for class 0, (.25, .75) for class 1: P(y | z) is the same numbers; .75² + .25² = .625.
    z = np.array([[0.75, 0.25], [0.25, 0.75]])[labels]
    assert leep(z, labels) == pytest.approx(math.log(0.625))


def test_trans_rate_by_hand() -> None:
    """Features ±1 along one axis, scaled to ±1/2: R(Z) = log(1 + 1/(4 ε)) / 2, and the same in each class."""
    features, labels = np.array([[1.0], [1.0], [-1.0], [-1.0]]), np.array([0, 0, 1, 1])
    rate = 0.5 * math.log(1 + 0.25 / 1e-4)
    assert trans_rate(features, labels) == pytest.approx(rate - rate)
    # Two axes, a class each (±1/2 about the mean): all of Z has both, a class one.
    wide = np.array([[1.0, 0], [-1.0, 0], [0, 1.0], [0, -1.0]])
    both, one = 2 * 0.5 * math.log(1 + 0.125 / 1e-4), 0.5 * math.log(1 + 0.25 / 1e-4)
    assert trans_rate(wide, labels) == pytest.approx(both - one)


@given(st.integers(0, 200), st.integers(2, 4))
def test_better_features_score_higher(seed: int, classes: int) -> None:
    features, labels = task(40, 5, classes, seed)
    noise = np.random.default_rng(seed).normal(size=features.shape)
    better = noise + 6 * np.eye(5)[labels]
    for score in (log_me, h_score, shrunk_h_score):
        assert score(better, labels) > score(noise, labels)
    assert 0 <= h_score(features, labels) <= classes - 1 + 1e-9
