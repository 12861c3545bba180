"""Rejection of what no known class fits, by hand."""

from __future__ import annotations

import math

import numpy as np

from bench.records.metrics import with_rejection


def test_items_are_rejected_by_their_entropy() -> None:
    """Of four classes the threshold is log 4 / 2 = log 2, the entropy of two classes that are alike.

    Probabilities (1/2, 1/2, 0, 0) are on it, four of 1/4 above it by log 2, a sure item below by log 2.
    """
    logits = np.log([[0.5, 0.5, 1e-30, 1e-30], [0.25] * 4, [1.0, 1e-30, 1e-30, 1e-30]]).astype(np.float32)
    found = with_rejection(logits, 4)
    assert found.shape == (3, 5)
    np.testing.assert_array_equal(found[:, :4], logits)
    above = found[:, 4] - logits.max(axis=1)
    np.testing.assert_allclose(above, [0.0, math.log(2), -math.log(2)], atol=1e-6)
    assert found.argmax(axis=1)[1:].tolist() == [4, 0]


def test_an_offset_of_the_logits_changes_nothing() -> None:
    logits = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    decisions = [with_rejection(logits + shift, 6).argmax(axis=1).tolist() for shift in (0, 500, -500)]
    assert decisions[0] == decisions[1] == decisions[2]


def test_a_method_with_a_class_for_the_unknown_decides_itself() -> None:
    logits = np.zeros((2, 5), dtype=np.float16)
    assert with_rejection(logits, 4) is logits
