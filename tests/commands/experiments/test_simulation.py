"""The simulation of many workers: counted by hand, and what holds of any schedule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.commands.experiments.simulation import Task, simulate

SECONDS = st.integers(0, 50).map(float)
NAMES = "abcd"
PRICES = st.fixed_dictionaries(dict.fromkeys(NAMES, SECONDS))
TASKS = st.lists(
    st.builds(
        Task,
        own=SECONDS,
        needs=st.lists(st.sampled_from(NAMES), unique=True, max_size=3).map(tuple),
        family=st.sampled_from(NAMES),
    ),
    min_size=1,
    max_size=25,
)


def test_by_hand() -> None:
    """Two families, each with something shared: each worker takes one, and nobody waits."""
    tasks = [Task(3, ("a",), "a"), Task(3, ("a",), "a"), Task(5, ("b",), "b")]
    found = simulate(tasks, {"a": 10, "b": 1}, 2)
    # One worker: a, then the first cell, 13. The other: b and its cell, 6; then it waits for a to 10.
    assert found.makespan == 13
    assert (found.work, found.critical_path) == (22, 13)
    assert found.utilisation == pytest.approx(22 / 26)


def test_what_is_shared_is_made_once_and_waited_for() -> None:
    found = simulate([Task(2, ("a",), "a")] * 4, {"a": 10}, 4)
    assert (found.makespan, found.work, found.utilisation) == (12, 18, pytest.approx(18 / 48))


def test_nothing_to_do() -> None:
    assert simulate([], {}, 3).makespan == 0


@given(TASKS, PRICES, st.integers(1, 8))
def test_bounds_of_any_schedule(tasks: list[Task], prices: dict[str, float], workers: int) -> None:
    found = simulate(tasks, prices, workers)
    assert found.makespan >= found.critical_path
    assert found.makespan >= found.work / workers - 1e-9
    assert found.makespan <= found.work + 1e-9, "somebody works at any moment"
    assert 0 <= found.utilisation <= 1 + 1e-9


@given(TASKS, PRICES)
def test_one_worker_does_all_the_work(tasks: list[Task], prices: dict[str, float]) -> None:
    found = simulate(tasks, prices, 1)
    used = {name for task in tasks for name in task.needs}
    work = sum(task.own for task in tasks) + sum(prices[name] for name in used)
    assert found.makespan == pytest.approx(work) == found.work


@given(TASKS, st.integers(1, 30))
def test_without_sharing_it_is_within_grahams_bound(tasks: list[Task], workers: int) -> None:
    """(2 - 1/m) times the least possible makespan, of which the bounds above are lower bounds."""
    alone = [Task(task.own) for task in tasks]
    found = simulate(alone, {}, workers)
    least = max(found.critical_path, found.work / workers)
    assert found.makespan <= (2 - 1 / workers) * least + 1e-9
