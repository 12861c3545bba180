from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.scores.predictions import classified, image_predictions
from bench.report.statistics.measures import (
    by_class,
    by_method,
    calibration_error,
    class_mean_accuracy,
    macro_f1,
    negative_log_likelihood,
)
from tests.report import synthetic

CLASSES = 5


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 60))
def test_against_scikit_learn(seed: int, images: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(CLASSES, size=images)
    logits = random.normal(0, 2, (images, CLASSES)).astype(np.float16)
    right, lost = classified(logits, labels)
    images = image_predictions(logits, labels, lost)
    predicted = images.predicted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that is predicted but has no image
        assert class_mean_accuracy(labels, predicted) == pytest.approx(
            balanced_accuracy_score(labels, predicted)
        )
    expected = f1_score(labels, predicted, average="macro", labels=np.unique(labels), zero_division=0)
    assert macro_f1(labels, predicted) == pytest.approx(expected)
    exact = logits.astype(float)
    shares = np.exp(exact) / np.exp(exact).sum(axis=1, keepdims=True)
    expected = log_loss(labels, shares, labels=range(CLASSES))
    assert negative_log_likelihood(images) == pytest.approx(expected, rel=1e-4)
    assert 0.0 <= calibration_error(images, right) <= 1.0


def test_calibration_by_hand() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]]))
    labels = np.array([0, 1, 0, 1])
    right, lost = classified(logits, labels)
    # Bins of 0.9: right half the time; of 0.6: always right. 0.5 × 0.4 + 0.5 × 0.4
    assert calibration_error(image_predictions(logits, labels, lost), right) == pytest.approx(0.4, abs=1e-6)


def test_logits_that_are_not_finite_have_no_likelihood(store: Store) -> None:
    arrays = synthetic.predictions({0: range(40), 1: range(40)})
    arrays["look1/target-test/logits"][:10] = np.nan
    store.write(synthetic.record(synthetic.cell("a")), arrays)
    synthetic.write(store, synthetic.cell("b"), 20)
    table = by_method(load_frame(store))
    assert np.isnan(table.loc["a", ["NLL", "ECE"]].astype(float)).all()
    assert table.loc["a", "class-mean accuracy"] == pytest.approx(75.0, abs=3.0)
    assert table.loc["b"].notna().all()


def test_a_class_that_is_ruled_out_is_infinitely_surprising() -> None:
    logits, labels = np.array([[0.0, -np.inf]]), np.array([1])
    assert negative_log_likelihood(image_predictions(logits, labels, np.array([False]))) == np.inf


def test_classes_by_hand_and_one_that_is_absent(store: Store) -> None:
    arrays = synthetic.predictions({0: [], 1: range(0, 40, 4)})
    arrays["target-test/labels"][3::4] = 0  # the fourth class loses its images to the first
    store.write(synthetic.record(synthetic.cell("a")), arrays)
    table = by_class(load_frame(store))
    assert table["images"].to_dict() == {"class 0": 20, "class 1": 10, "class 2": 10, "class 3": 0}
    assert table.loc["class 1", "a"] == 0.0
    assert table.loc["class 0", "a"] > 0.0
    assert np.isnan(table.loc["class 3", "a"])


def test_nothing_to_measure(store: Store) -> None:
    frame = load_frame(store)
    assert by_method(frame).empty
    assert by_class(frame).empty
