from __future__ import annotations

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from bench.core.components import unite


def test_sets_that_overlap_by_hand() -> None:
    assert unite([]) == {}
    assert unite([["b"], ["c", "d"], ["e", "b"], ["d", "a", "f"]]) == {
        **dict.fromkeys("be", "b"),
        **dict.fromkeys("acdf", "a"),
    }


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3), max_size=8))
def test_members_are_united_exactly_where_a_chain_of_sets_links_them(sets: list[list[int]]) -> None:
    parts: list[set[int]] = []
    for group in map(set, sets):
        linked = [part for part in parts if part & group]
        parts = [part for part in parts if part not in linked] + [group.union(*linked)]
    assert unite(sets) == {member: min(part) for part in parts for member in part}
    assert set(unite(sets)) == set(chain.from_iterable(sets))
