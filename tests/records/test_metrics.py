"""Metrics as credits: their means by hand and by scikit-learn, and how they vary under resampling."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from bench.records.metrics import CREDITS
from bench.report.scores.bootstrap import draws, intervals
from bench.report.scores.predictions import HEADLINE, score
from bench.spec.metrics import METRICS


def drawn(classes: int, items: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that know something, and labels of unequal classes."""
    random = np.random.default_rng(seed)
    labels = np.minimum(random.geometric(0.5, items) - 1, classes - 1)
    logits = random.normal(size=(items, classes)) + 1.2 * np.eye(classes)[labels]
    return logits.astype(np.float32), labels


def credits(metric: str, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return CREDITS[metric](logits, labels, logits.argmax(1) == labels)


def test_every_metric_has_credits() -> None:
    assert CREDITS.keys() == METRICS.keys()


def test_by_hand() -> None:
    logits = np.array([[2, 1], [2, 1], [1, 2], [3, 0], [0, 1]], dtype=np.float32)
    labels = np.array([0, 0, 0, 1, 1])
    assert credits("accuracy", logits, labels).mean() == pytest.approx(3 / 5)
    assert credits("balanced-accuracy", logits, labels).mean() == pytest.approx((2 / 3 + 1 / 2) / 2)
    # Margins of class 1: -1, -1, 1 of class 0; -3, 1 of class 1. Pairs won: 0 of -3; 2 and a tie of 1.
    assert credits("auc", logits, labels).mean() == pytest.approx(2.5 / 6)


@pytest.mark.parametrize("sure", [1, 20, 500, 30_000])
def test_the_area_of_a_network_that_is_sure(sure: float) -> None:
    """A probability of 1 orders nothing; what stands behind it does, on both ends."""
    margins = sure * np.array([1.0, 0.5, 0.75, -1.0, -0.5, -0.75])
    labels = np.array([1, 0, 1, 0, 1, 0])
    logits = np.stack([np.minimum(0, -margins), np.minimum(0, margins)], axis=1).astype(np.float16)
    # Of 9 pairs the item of class 1 at -0.5 loses one, to that of class 0 at 0.5.
    assert roc_auc_score(labels, margins) == pytest.approx(8 / 9)
    assert credits("auc", logits, labels).mean() == pytest.approx(8 / 9)
    unused = np.full((6, 1), -np.inf, dtype=np.float16)
    assert credits("auc", np.hstack([unused, logits]), labels + 1).mean() == pytest.approx(8 / 9)
    tied = credits("auc", np.repeat(logits[:1], 6, axis=0), labels)
    assert tied.mean() == pytest.approx(1 / 2)


@pytest.mark.parametrize("classes", [2, 4])
def test_against_scikit_learn(classes: int) -> None:
    logits, labels = drawn(classes)
    expected = balanced_accuracy_score(labels, logits.argmax(1))
    assert credits("balanced-accuracy", logits, labels).mean() == pytest.approx(expected, abs=1e-6)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    shares = shares.astype(np.float64) / shares.sum(1, keepdims=True)
    right = (
        roc_auc_score(labels, shares[:, 1])
        if classes == 2
        else roc_auc_score(labels, shares, multi_class="ovr", average="macro")
    )
    assert credits("auc", logits, labels).mean() == pytest.approx(right, abs=1e-5)


def test_one_class_alone_has_no_auc_and_odd_logits_count_least() -> None:
    logits, labels = drawn(2)
    assert np.isnan(credits("auc", logits, np.zeros_like(labels))).all()
    logits[0] = np.nan
    assert np.isfinite(credits("auc", logits, labels)).all()
    logits[1] = -np.inf
    assert np.isfinite(credits("auc", logits, labels)).all()


@pytest.mark.parametrize("metric", ["balanced-accuracy", "auc"])
def test_intervals_are_those_of_the_metric_under_resampling(metric: str) -> None:
    """The percentile bootstrap of the metric itself, group by group, computed directly."""
    logits, labels = drawn(2, seed=3)
    groups = np.arange(len(labels)) // 2
    predictions = {
        "target-test/labels": labels,
        "target-test/groups": groups,
        "look0/target-test/logits": logits,
    }
    cell = score(predictions, {HEADLINE: 0}, per_image=False, metric=metric)
    (interval,) = intervals([cell], HEADLINE)
    assert interval is not None
    direct = []
    for weights in draws(len(np.unique(groups)))[:400]:
        rows = np.repeat(np.arange(len(labels)), weights[groups].astype(int))
        if metric == "auc":
            margin = (logits[:, 1] - logits[:, 0]).astype(np.float64)
            direct.append(roc_auc_score(labels[rows], margin[rows]))
        else:
            direct.append(balanced_accuracy_score(labels[rows], logits.argmax(1)[rows]))
    low, high = 100 * np.percentile(direct, [2.5, 97.5])
    assert interval.low == pytest.approx(low, abs=0.6)
    assert interval.high == pytest.approx(high, abs=0.6)
    assert cell.accuracy(HEADLINE) == pytest.approx(100 * np.mean(credits(metric, logits, labels)), abs=1e-4)
    plain = score(predictions, {HEADLINE: 0}, per_image=False)
    assert plain.accuracy(HEADLINE) == 100 * np.mean(logits.argmax(1) == labels)
