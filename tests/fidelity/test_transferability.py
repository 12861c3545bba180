"""Transferability scores against scikit-learn, statsmodels and the papers' equations term by term."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import BayesianRidge
from sklearn.metrics import log_loss

from bench.engine.evaluation.transferability import h_score, leep, log_me, shrunk_h_score, trans_rate

Peer = Callable[[str], ModuleType]
near = pytest.approx


@pytest.fixture(params=[(60, 4, 3), (40, 6, 2)], ids=["three classes", "two classes"])
def task(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, D) that tell classes apart, not quite, and the classes (N,)."""
    n, width, classes = request.param
    labels = np.arange(n) % classes
    return np.random.default_rng(n).normal(size=(n, width)) + np.eye(width)[labels], labels


def test_log_me(task: tuple[np.ndarray, np.ndarray]) -> None:
    """The evidence at which scikit-learn's fixed point, the paper's algorithm 1, ends (no prior on α, β)."""
    features, labels = task
    flat = dict.fromkeys(("alpha_1", "alpha_2", "lambda_1", "lambda_2"), 0.0)
    evidence = []
    for label in np.unique(labels):
        model = BayesianRidge(fit_intercept=False, compute_score=True, tol=1e-12, max_iter=100_000, **flat)
        evidence.append(model.fit(features, (labels == label).astype(float)).scores_[-1] / len(labels))
    assert log_me(features, labels) == near(np.mean(evidence), abs=1e-6)


def test_h_score(peer: Peer, task: tuple[np.ndarray, np.ndarray]) -> None:
    """Pillai's trace of the analysis of variance of the features by class."""
    features, labels = task
    manova = peer("statsmodels.multivariate.manova").MANOVA
    found = manova(features, np.eye(labels.max() + 1)[labels]).mv_test(
        [("classes", np.diff(np.eye(labels.max() + 1), axis=0))]
    )
    pillai = found.results["classes"]["stat"].loc["Pillai's trace", "Value"]
    assert h_score(features, labels) == near(float(pillai), abs=1e-6)


def test_shrunk_h_score(task: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = task
    fitted = LedoitWolf().fit(features)
    means = np.stack([features[labels == label].mean(0) for label in labels]) - features.mean(0)
    between = np.cov(means, rowvar=False, bias=True)
    expected = (1 - fitted.shrinkage_) * np.trace(fitted.precision_ @ between)
    assert shrunk_h_score(features, labels) == near(expected, abs=1e-6)


def test_leep() -> None:
    """Equations 1 and 2 by loops, and the likelihood by scikit-learn."""
    random = np.random.default_rng(0)
    labels, source = np.arange(30) % 3, random.dirichlet(np.ones(5), 30)
    joint = np.zeros((3, 5))
    for y, theta in zip(labels, source, strict=True):
        joint[y] += theta / 30
    expected = np.zeros((30, 3))
    for i, theta in enumerate(source):
        for z, share in enumerate(theta):
            expected[i] += share * joint[:, z] / joint[:, z].sum()
    assert leep(source, labels) == near(-log_loss(labels, expected), abs=1e-6)


def test_trans_rate(task: tuple[np.ndarray, np.ndarray]) -> None:
    """Equation 3 by determinants."""
    features, labels = task
    z = features - features.mean(0)
    z /= np.sqrt((z**2).sum())

    def rate(part: np.ndarray) -> float:
        return float(np.linalg.slogdet(np.eye(z.shape[1]) + part.T @ part / (len(part) * 1e-4))[1] / 2)

    within = [np.mean(labels == label) * rate(z[labels == label]) for label in np.unique(labels)]
    assert trans_rate(features, labels) == near(rate(z) - sum(within), abs=1e-6)
