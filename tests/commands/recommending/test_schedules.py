"""What is run next, and when to stop: small boards by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.commands.recommending import schedules
from bench.commands.recommending.answers import sentence
from bench.commands.recommending.beliefs import NOISE
from bench.commands.recommending.board import MOST, Board
from bench.commands.recommending.schedules import affordable, gain_per_second, most_gain
from bench.commands.recommending.trials import Arm, Question, Trial
from bench.core.errors import UserError

GROUP = "cross-domain, no target labels"
HERE, THERE = Question(GROUP, "a → b", "1"), Question(GROUP, "b → a", "2")


def board(
    questions: tuple[Question, ...] = (HERE,), methods: str = "xyz", seeds: int = 1, **changes: float
) -> Board:
    return Board(
        [
            Trial(question, Arm(method, "net"), seed)
            for question in questions
            for method in methods
            for seed in range(seeds)
        ],
        **changes,  # type: ignore[arg-type]
    )


def places(found: Board, share: float) -> list[int]:
    return affordable(found, range(len(found.questions)), share).tolist()


def test_what_is_affordable() -> None:
    """The first of three costs 10 s, so all cost 30 s: a half leaves 5 s, and two thirds 10 s."""
    found = board()
    assert places(found, 0.01) == [0, 1, 2], "nothing is known of costs yet"
    found.observe(0, 50.0, 10.0)
    assert places(found, 0.5) == []
    assert places(found, 2 / 3) == [1, 2]
    found.observe(1, 50.0, 4.0)
    # x 10, y 4, z the median of both: 21 s in all.
    assert found.predicted().tolist() == [10.0, 4.0, 7.0]
    assert places(found, 0.9) == []
    assert places(found, 1.0) == [2]


def test_seconds_of_an_arm_are_known_from_other_questions() -> None:
    found = board((HERE, THERE), "xy")
    found.observe(0, 50.0, 10.0)
    found.observe(1, 50.0, 2.0)
    assert found.predicted().tolist() == [10.0, 2.0, 10.0, 2.0]


def test_what_cannot_be_run_is_not_tried_on_the_next_question() -> None:
    found = board((HERE, THERE), "xy")
    found.observe(0, None, 0.0)
    assert [found.able(place) for place in range(4)] == [False, True, False, True]
    assert found.predicted().tolist() == [0.0, 1.0, 0.0, 1.0]
    assert found.answer(0).arm.method == "y"
    assert found.answer(0).other is None


def test_a_question_that_nothing_can_answer() -> None:
    found = board(methods="xy")
    found.observe(0, None, 0.0)
    found.observe(1, None, 0.0)
    assert sentence(found, 0, set()).startswith("no method can be run here")
    assert most_gain(found, [0], 1.0) == []


def test_methods_that_take_too_long_are_no_answer() -> None:
    found = board((HERE, THERE), "xy", most_seconds=5.0)
    found.observe(0, 99.0, 10.0)
    found.observe(1, 10.0, 1.0)
    assert [found.answer(number).arm.method for number in (0, 1)] == ["y", "y"]


def test_the_gain_of_a_run_is_the_mean_improvement() -> None:
    """Against an integral over the score that an unknown method may have."""
    found = board(methods="xy")
    found.observe(0, 60.0, 1.0)
    block, mean = found.beliefs.blocks[0], found.beliefs.mean
    deviation = math.sqrt(block[1, 1] + NOISE**2)
    scores = np.linspace(mean[1] - 8 * deviation, mean[1] + 8 * deviation, 20_001)
    density = np.exp(-(((scores - mean[1]) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
    other = mean[0] + block[0, 1] / deviation**2 * (scores - mean[1])
    own = mean[1] + block[1, 1] / deviation**2 * (scores - mean[1])
    expected = np.sum(np.maximum(own, other) * density) * (scores[1] - scores[0]) - mean.max()
    assert found.gains(0)[1] == pytest.approx(expected, abs=1e-4)


def test_cheap_runs_come_first_where_they_tell_as_much() -> None:
    found = board((HERE, THERE), "xy")
    found.observe(0, 50.0, 10.0)
    found.observe(1, 50.0, 1.0)
    assert most_gain(found, [0, 1], 1.0, count=2) == [3, 2]


def test_it_stops_where_the_best_is_separable() -> None:
    found = board(methods="xy", seeds=20)
    scores = {"x": 90.0, "y": 20.0}
    for place in gain_per_second(found, [0], 1.0):
        found.observe(place, scores[found.trials[place].arm.method], 1.0)
    answer = found.answer(0)
    assert answer.separable
    assert (answer.arm.method, answer.low > 0) == ("x", True)
    assert len(found.scores) == 2
    assert sentence(found, 0, set()) == "use x: separable from y, the next one"


def test_it_says_why_it_stops_otherwise() -> None:
    found = board(methods="xy")
    found.observe(0, 50.0, 1.0)
    assert sentence(found, 0, set()).endswith("what could tell them apart is beyond the budget")
    assert most_gain(found, [0], 0.5) == []
    found.observe(1, 50.5, 1.0)
    assert "use y: not separable from x, and both are run" in sentence(found, 0, set())
    assert most_gain(found, [0], 1.0) == []
    assert "nothing to compare it with" in sentence(board(methods="x"), 0, set())


def test_halving_by_hand() -> None:
    """Four methods on four questions, two rounds: all on two of them, the better two on all."""
    names = [Question(GROUP, f"{number}", f"{number}") for number in range(4)]
    found = board(tuple(names), "wxyz")
    worth = {"w": 10.0, "x": 40.0, "y": 30.0, "z": 20.0}
    for place in schedules.halving(found, range(4), 1.0):
        found.observe(place, worth[found.trials[place].arm.method], 1.0)
    counts = {method: sum(found.trials[p].arm.method == method for p in found.scores) for method in worth}
    assert counts == {"w": 2, "x": 4, "y": 4, "z": 2}
    assert [schedules.by_group(found, number) for number in range(4)] == [Arm("x", "net")] * 4


def test_a_portfolio_adds_what_helps_elsewhere() -> None:
    """On the others y is best alone, x helps where y fails, and z, second best everywhere, adds nothing."""
    names = [Question(GROUP, f"{number}", f"{number}") for number in range(3)]
    found = board(tuple(names), "xyz")
    for place, score in enumerate((10.0, 80.0, 70.0, 60.0, 20.0, 15.0)):
        found.observe(place, score, 1.0)
    ran = []
    for place in schedules.portfolio(found, [2], 1.0):
        ran.append(found.trials[place].arm.method)
        found.observe(place, 50.0, 1.0)
    assert ran == ["y", "x"]


def test_too_many_cells_are_refused() -> None:
    trial = Trial(HERE, Arm("x", "net"))
    with pytest.raises(UserError, match="5,001 cells to choose from: 5,000 at most"):
        Board([trial] * (MOST + 1))
