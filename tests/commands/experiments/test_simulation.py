"""The simulation of many workers: counted by hand, and what holds of any schedule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.commands.experiments.simulation import ScheduledCell, simulate

SECONDS = st.integers(0, 50).map(float)
NAMES = "abcd"
COSTS = st.fixed_dictionaries(dict.fromkeys(NAMES, SECONDS))
CELLS = st.lists(
    st.builds(
        ScheduledCell,
        own=SECONDS,
        artifacts=st.lists(st.sampled_from(NAMES), unique=True, max_size=3).map(tuple),
        family=st.sampled_from(NAMES),
    ),
    min_size=1,
    max_size=25,
)


def test_by_hand() -> None:
    """Two families, each with something shared: each worker takes one, and nobody waits."""
    cells = [ScheduledCell(3, ("a",), "a"), ScheduledCell(3, ("a",), "a"), ScheduledCell(5, ("b",), "b")]
    schedule = simulate(cells, {"a": 10, "b": 1}, 2)
    # One worker: a, then the first cell, 13. The other: b and its cell, 6; then it waits for a to 10.
    assert schedule.makespan == 13
    assert (schedule.work, schedule.critical_path) == (22, 13)
    assert schedule.utilisation == pytest.approx(22 / 26)


def test_what_is_shared_is_made_once_and_waited_for() -> None:
    schedule = simulate([ScheduledCell(2, ("a",), "a")] * 4, {"a": 10}, 4)
    assert (schedule.makespan, schedule.work, schedule.utilisation) == (12, 18, pytest.approx(18 / 48))


def test_nothing_to_do() -> None:
    assert simulate([], {}, 3).makespan == 0


@given(CELLS, COSTS, st.integers(1, 8))
def test_bounds_of_any_schedule(cells: list[ScheduledCell], costs: dict[str, float], workers: int) -> None:
    schedule = simulate(cells, costs, workers)
    assert schedule.makespan >= schedule.critical_path
    assert schedule.makespan >= schedule.work / workers - 1e-9
    assert schedule.makespan <= schedule.work + 1e-9, "somebody works at any moment"
    assert 0 <= schedule.utilisation <= 1 + 1e-9


@given(CELLS, COSTS)
def test_one_worker_does_all_the_work(cells: list[ScheduledCell], costs: dict[str, float]) -> None:
    schedule = simulate(cells, costs, 1)
    used = {name for cell in cells for name in cell.artifacts}
    work = sum(cell.own for cell in cells) + sum(costs[name] for name in used)
    assert schedule.makespan == pytest.approx(work) == schedule.work


@given(CELLS, st.integers(1, 30))
def test_without_sharing_it_is_within_grahams_bound(cells: list[ScheduledCell], workers: int) -> None:
    """(2 - 1/m) times the least possible makespan, of which the bounds above are lower bounds."""
    alone = [ScheduledCell(cell.own) for cell in cells]
    schedule = simulate(alone, {}, workers)
    least = max(schedule.critical_path, schedule.work / workers)
    assert schedule.makespan <= (2 - 1 / workers) * least + 1e-9
