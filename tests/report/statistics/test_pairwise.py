from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.statistics.pairwise import Comparison, comparisons, not_separable, places, rivals
from bench.report.statistics.randomisation import holm
from tests.report import synthetic


def compared(*apart: tuple[str, str], of: str) -> list[Comparison]:
    pairs = [(a, b) for i, a in enumerate(of) for b in of[i + 1 :]]
    return [Comparison(a, b, 1.0, None, 0.5, 0.01 if (a, b) in apart else 0.9) for a, b in pairs]


def test_holm_by_hand() -> None:
    # Holm 1979: 3 × 0.01, then 2 × 0.02, then the largest so far.
    assert holm([0.02, 0.01, 0.03]) == [0.04, 0.03, 0.04]
    assert holm([0.5, 0.9]) == [1.0, 1.0]


def test_letters_and_places_by_hand() -> None:
    found = compared(("a", "c"), ("a", "d"), ("b", "d"), of="abcd")
    assert not_separable("abcd", found) == {"a": "a", "b": "ab", "c": "bc", "d": "c"}
    assert places("abcd", found) == {"a": (1, 2), "b": (1, 3), "c": (2, 4), "d": (3, 4)}
    assert rivals("abcd", found) == ("b",)


@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6))))
def test_methods_share_a_letter_exactly_where_they_are_not_told_apart(chosen) -> None:
    names = "abcdefg"
    apart = {(names[min(p)], names[max(p)]) for p in chosen if p[0] != p[1]}
    letters = not_separable(names, compared(*apart, of=names))
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert bool(set(letters[one]) & set(letters[other])) is ((one, other) not in apart)


def test_every_pair_is_compared_once_and_corrected(store: Store) -> None:
    synthetic.fill(store, {"a": 30, "b": 29, "c": 8}, shots=[5], seeds=[0, 1, 2])
    found = {(c.method, c.other): c for c in comparisons(load_frame(store))}
    assert set(found) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert found["a", "c"].points == 55.0
    assert found["a", "c"].different
    assert not found["a", "b"].different
    assert all(c.adjusted >= c.p for c in found.values())


def test_equal_scores_are_never_different(store: Store) -> None:
    synthetic.fill(store, {"a": 20, "b": 20}, shots=[5], seeds=[0, 1])
    (only,) = comparisons(load_frame(store))
    assert (only.points, only.interval, only.p, only.different) == (0.0, None, None, False)


def test_all_right_against_all_wrong_is_no_evidence_about_runs(store: Store) -> None:
    synthetic.fill(store, {"a": 40, "b": 0}, shots=[5])
    (only,) = comparisons(load_frame(store))
    assert (only.points, only.p, only.different) == (100.0, None, False)


def test_nothing_to_compare(store: Store) -> None:
    assert comparisons(load_frame(store)) == []
    synthetic.fill(store, {"a": 20}, shots=[5])
    assert comparisons(load_frame(store)) == []
