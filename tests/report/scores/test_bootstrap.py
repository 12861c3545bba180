from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.report.scores.bootstrap import Interval, intervals, resampled
from bench.report.scores.predictions import ScoredPredictions


def scored(correct, groups=None) -> ScoredPredictions:
    correct = np.asarray(correct, dtype=bool)
    return ScoredPredictions(
        {"last": correct}, np.arange(len(correct)) if groups is None else np.asarray(groups)
    )


def interval_of(cell: ScoredPredictions) -> Interval | None:
    """Of one cell, among others whose images are the same and one whose are not."""
    beside = [
        scored([True, False, True], [1, 2, 2]),
        ScoredPredictions({"last": ~cell.correct["last"]}, cell.groups),
    ]
    found = intervals([beside[0], cell, beside[1]], "last")
    assert found[1] == intervals([cell], "last")[0], "cells are resampled together as alone"
    return found[1]


images = st.lists(st.tuples(st.booleans(), st.integers(0, 15)), min_size=2, max_size=60)


@settings(max_examples=60, deadline=None)
@given(images)
def test_interval_holds_the_point_estimate(rows) -> None:
    cell = scored(*zip(*rows, strict=True))
    interval = interval_of(cell)
    assume(interval is not None)
    assert interval.low <= cell.accuracy("last") + 1e-4
    assert interval.high >= cell.accuracy("last") - 1e-4


@settings(max_examples=30, deadline=None)
@given(images, st.randoms())
def test_the_order_of_images_does_not_matter(rows, random) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    one, other = (scored(*zip(*order, strict=True)) for order in (rows, shuffled))
    assert interval_of(one) == interval_of(other)


def test_the_width_is_that_of_the_normal_approximation() -> None:
    interval = interval_of(scored([True] * 200 + [False] * 200))
    # 1.96 × sqrt(0.5 × 0.5 / 400) = 4.9 points on each side
    assert interval.low == pytest.approx(45.1, abs=0.6)
    assert interval.high == pytest.approx(54.9, abs=0.6)


def test_related_images_are_drawn_together() -> None:
    alone = interval_of(scored([True, False] * 50))
    grouped = interval_of(scored([True] * 50 + [False] * 50, np.arange(100) // 10))
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("correct", "groups"), [([True, False, True], [7, 7, 7]), ([True] * 9, None), ([False] * 9, None)]
)
def test_no_interval_is_invented(correct, groups) -> None:
    assert interval_of(scored(correct, groups)) is None


def test_cells_share_the_draws_of_the_groups_they_share() -> None:
    cell = scored([True, False, False, True], [3, 3, 9, 11])
    samples = resampled([cell, cell], "last")
    assert samples.shape[1] == 2
    assert (samples[:, 0] == samples[:, 1]).all()


def test_a_cell_without_drawn_groups_does_not_spoil_the_mean() -> None:
    samples = resampled([scored([True, False], [0, 1]), scored([True, False], [2, 3])], "last")
    assert np.isnan(samples).any(), "some resamples draw none of a cell's groups"
    means = np.nanmean(samples, axis=1)
    assert 0.0 <= means.min() <= means.max() <= 100.0
