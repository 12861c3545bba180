from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.statistics.aggregate import aggregates, profiles
from bench.report.statistics.ranks import Ranks, average_ranks
from tests.report import synthetic

DOMAINS = ("a", "b", "c", "d")


def write(store: Store, rights: dict[str, list[int]]) -> None:
    """A cell per target and method."""
    for method, by_target in rights.items():
        for target, right in zip(DOMAINS, by_target, strict=False):
            synthetic.write(store, synthetic.cell(method, None, target), right)


def test_ranks_by_hand(store: Store) -> None:
    write(store, {"x": [30, 30, 30, 20], "y": [20, 20, 20, 20], "z": [10, 10, 25, 10]})
    ranks = average_ranks(load_frame(store))
    assert ranks.mean == {"x": (1 + 1 + 1 + 1.5) / 4, "y": (2 + 2 + 3 + 1.5) / 4, "z": (3 + 3 + 2 + 3) / 4}
    assert ranks.questions == 4
    # Demšar 2006, table 5: q = 2.343 for three methods.
    assert ranks.critical == pytest.approx(2.343 * math.sqrt(3 * 4 / (6 * 4)), abs=1e-3)
    chi = stats.friedmanchisquare([30, 30, 30, 20], [20, 20, 20, 20], [10, 10, 25, 10]).statistic
    assert ranks.p == pytest.approx(stats.f.sf(3 * chi / (4 * 2 - chi), 2, 6))


def test_the_same_order_everywhere_is_the_strongest_evidence(store: Store) -> None:
    write(store, {"x": [30] * 4, "y": [20] * 4, "z": [10] * 4})
    assert average_ranks(load_frame(store)).p == 0.0


@pytest.mark.parametrize(
    ("rights", "why"),
    [
        ({"x": [1, 2], "y": [3, 4]}, "three methods"),
        ({"x": [1], "y": [3], "z": [4]}, "One question"),
        ({"x": [5, 6], "y": [5, 6], "z": [5, 6]}, "tie"),
    ],
)
def test_ranks_that_cannot_be_tested_say_why(store: Store, rights, why: str) -> None:
    write(store, rights)
    ranks = average_ranks(load_frame(store))
    assert why in ranks.why
    assert ranks.p is ranks.critical is None


def test_groups_by_hand() -> None:
    """Ranks that differ by the critical difference at most, in the longest runs."""
    ranks = dict(zip("abcdef", (1.0, 2.0, 2.5, 3.5, 4.0, 6.0), strict=True))
    assert Ranks(ranks, 4, 0.01, 1.0).groups == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert Ranks(ranks, 4, 0.01, 1.5).groups == [(0, 2), (1, 3), (2, 4)]
    assert Ranks(ranks, 4, 0.01, 0.4).groups == []
    assert Ranks(ranks, 4, 0.01, 9.0).groups == [(0, 5)]
    assert Ranks(ranks, 4, None, None).groups == []


@given(st.lists(st.floats(1, 9), min_size=3, max_size=9).map(sorted), st.floats(0.01, 9))
def test_two_methods_are_in_a_group_if_they_are_not_told_apart(places: list[float], critical: float) -> None:
    groups = Ranks({str(n): place for n, place in enumerate(places)}, 4, 0.5, critical).groups
    for one, other in combinations(range(len(places)), 2):
        together = any(first <= one and other <= last for first, last in groups)
        assert together == (places[other] <= places[one] + critical)
    for first, last in combinations(groups, 2):
        assert not (last[0] <= first[0] and first[1] <= last[1]), "a group within a group"
        assert not (first[0] <= last[0] and last[1] <= first[1])


def test_aggregates_against_scipy(store: Store) -> None:
    write(store, {"x": [4, 8, 30, 32], "y": [10, 12, 20, 40]})
    first, second = aggregates(load_frame(store))
    assert (first.method, first.cells, first.worst) == ("y", 4, 25.0)
    assert first.interquartile == (30.0 + 50.0) / 2
    assert second.interquartile == pytest.approx(stats.trim_mean([10, 20, 75, 80], 0.25))


def test_the_interquartile_mean_has_a_stratified_bootstrap_interval(store: Store) -> None:
    """Two questions of three runs: the mean of the middle four of six draws, three from each question."""
    for target, rights in (("a", [4, 8, 12]), ("b", [20, 24, 32])):
        for seed, right in enumerate(rights):
            synthetic.write(store, synthetic.cell("x", None, target, seed=seed), right)
    (row,) = aggregates(load_frame(store))
    draws = [
        stats.trim_mean([*one, *other], 0.25)
        for one in product([10.0, 20.0, 30.0], repeat=3)
        for other in product([50.0, 60.0, 80.0], repeat=3)
    ]
    assert row.interquartile == pytest.approx((20 + 30 + 50 + 60) / 4)
    assert row.interval == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])), abs=1.5)


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_runs_have_no_such_interval(store: Store, seeds: int) -> None:
    for seed in range(seeds):
        for target, right in (("a", 4 + seed), ("b", 9), ("c", 20), ("d", 30)):
            synthetic.write(store, synthetic.cell("x", None, target, seed=seed), right)
    (row,) = aggregates(load_frame(store))
    assert row.interquartile is not None
    assert row.interval is None


def test_too_few_cells_have_no_interquartile_mean(store: Store) -> None:
    write(store, {"x": [4, 8, 30]})
    (only,) = aggregates(load_frame(store))
    assert only.interquartile is None
    assert only.mean == 35.0


def test_profiles_are_shares_of_cells_above(store: Store) -> None:
    write(store, {"x": [4, 8, 30, 32], "y": [10, 12, 20, 40]})
    curves = profiles(load_frame(store))
    assert (curves.iloc[0] == 100.0).all()
    assert curves["x"].loc[20.0] == 50.0
    assert curves["y"].loc[75.0] == 25.0
    assert (curves.iloc[-1] == 0.0).all()
    assert (np.diff(curves.to_numpy(), axis=0) <= 0).all()
