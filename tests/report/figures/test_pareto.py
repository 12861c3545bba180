from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.report.figures.pareto import pareto_front

POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12)


def test_a_front_by_hand() -> None:
    assert pareto_front([(3, 50), (1, 40), (2, 40), (5, 60), (4, 45), (1, 30)]) == [1, 0, 3]


@given(POINTS)
def test_a_point_is_on_the_front_unless_another_beats_it(points: list[tuple[int, int]]) -> None:
    kept = pareto_front(points)
    for place, (cost, accuracy) in enumerate(points):
        beaten = any((c <= cost and a > accuracy) or (c < cost and a >= accuracy) for c, a in points)
        alike = [i for i, point in enumerate(points) if point == (cost, accuracy)]
        assert (place in kept) == (not beaten and place == alike[0])
