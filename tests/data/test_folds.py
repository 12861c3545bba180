"""Images kept out of training, for searches and for tuning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import UserError
from bench.data.splits import Subset, fold_of, hold_out

# Per image a (class, group within the class).
IMAGES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=1, max_size=60)


def subset(images: list[tuple[int, int]]) -> Subset:
    labels = np.array([label for label, _ in images])
    groups = np.array([10 * label + group for label, group in images], dtype=np.int32)
    return Subset(np.arange(len(images)), labels, groups)


@given(IMAGES, st.floats(0.05, 0.9), st.integers(0, 3))
def test_whole_groups_are_held_out_and_every_class_stays(
    images: list[tuple[int, int]], share: float, seed: int
) -> None:
    every = subset(images)
    rest, held = hold_out(every, share, seed)
    assert sorted([*rest.rows, *held.rows]) == list(every.rows)
    assert not set(rest.groups) & set(held.groups)
    for label in np.unique(every.labels):
        several = len(np.unique(every.groups[every.labels == label])) > 1
        assert (label in held.labels) == several
        assert label in rest.labels or share > 0.5


def test_nothing_is_held_out_of_a_share_of_nothing() -> None:
    rest, held = hold_out(subset([(0, 0), (0, 1)]), 0.0, 1)
    assert (len(rest), len(held)) == (2, 0)


def test_folds_hold_out_one_group_of_each_class_in_turn() -> None:
    shots = subset([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)])
    held = [fold_of(shots, fold)[1].groups.tolist() for fold in range(4)]
    assert held == [[0, 10], [1, 11], [2, 12], [0, 10]]
    rest, _ = fold_of(shots, 1)
    assert rest.groups.tolist() == [0, 2, 10, 12]


def test_one_image_a_class_leaves_nothing_to_validate_on() -> None:
    with pytest.raises(UserError, match="more shots"):
        fold_of(subset([(0, 0), (1, 0), (1, 1)]), 0)
