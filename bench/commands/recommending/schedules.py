"""Schedules: which trials of a board to run next, and when to stop. Pure.

A schedule yields the place of the trial to run next; its score is on the board when it goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

import numpy as np

from bench.commands.recommending.board import Board
from bench.commands.recommending.trials import Arm
from bench.core.seeds import stream

WORTH = 0.01
"""Points: a run that is expected to improve an answer by less is not worth any seconds."""

Schedule = Callable[[Board, Sequence[int], float], Iterator[int]]
"""Places to run, of a board, numbers of the questions that are asked, and the share that may be spent."""


def affordable(board: Board, numbers: Sequence[int], share: float) -> np.ndarray:
    """Places of the trials of some questions that can be run, are not, and cost no more than what is left.

    What is left are the seconds of the share of all that these questions' trials cost, less what those that
    are run have taken. The first trial of all is always affordable: nothing is known of any cost yet.
    """
    predicted = board.predicted()
    places = np.concatenate([board.members[number] for number in numbers])
    spent = sum(board.seconds.get(int(place), 0.0) for place in places)
    left = share * predicted[places].sum() * (1 + 1e-9) - spent if board.scores else math.inf
    open_ = [place not in board.scores and board.able(place) for place in places]
    return np.asarray(places[open_ & (predicted[places] <= left)])


def most_gain(board: Board, numbers: Sequence[int], share: float, count: int = 1) -> list[int]:
    """Trials to run next, most expected gain a second first; none where none is worth it.

    Expected improvement a second is what Snoek et al. 2012, https://arxiv.org/abs/1206.2944, section 3.2,
    choose by. A question whose answer is separable is done.
    """
    asked = [number for number in numbers if not board.answer(number).separable]
    if not asked:
        return []
    gains = np.zeros(len(board.trials))
    for number in asked:
        gains[board.members[number]] = board.gains(number)
    places = affordable(board, numbers, share)
    places = places[gains[places] >= WORTH]
    rates = gains[places] / np.maximum(board.predicted()[places], 1e-9)
    return [int(place) for place in places[np.argsort(-rates, kind="stable")][:count]]


def gain_per_second(board: Board, numbers: Sequence[int], share: float) -> Iterator[int]:
    """Run what is expected to improve an answer most for its seconds."""
    while places := most_gain(board, numbers, share):
        yield places[0]


def everything(board: Board, numbers: Sequence[int], share: float) -> Iterator[int]:
    """Run all trials, whatever the share."""
    for number in numbers:
        yield from map(int, board.members[number])


def cheapest_first(board: Board, numbers: Sequence[int], share: float) -> Iterator[int]:
    """Run the cheapest trials; costs are known once a trial of an arm is run."""
    while len(places := affordable(board, numbers, share)):
        yield int(places[np.argmin(board.predicted()[places])])


def best_elsewhere(board: Board, numbers: Sequence[int], share: float) -> Iterator[int]:
    """Run on each question the arms of the highest mean score on others of its group."""
    for number in numbers:
        means = {arm: fmean(scores.values()) for arm, scores in _elsewhere(board, number).items()}
        yield from _in_order(board, number, share, sorted(means, key=lambda arm: -means[arm]))


def portfolio(board: Board, numbers: Sequence[int], share: float) -> Iterator[int]:
    """Run on each question the arms that together have the best scores on others of its group.

    Chosen one by one, each for what it adds to the mean of the others' best scores.
    """
    for number in numbers:
        known, best, order = _elsewhere(board, number), dict[int, float](), list[Arm]()

        def added(
            arm: Arm, known: dict[Arm, dict[int, float]] = known, best: dict[int, float] = best
        ) -> float:
            return sum(max(0.0, score - best.get(other, 0.0)) for other, score in known[arm].items())

        while (rest := [arm for arm in known if arm not in order]) and added(arm := max(rest, key=added)) > 0:
            order.append(arm)
            best |= {other: max(score, best.get(other, 0.0)) for other, score in known[arm].items()}
        yield from _in_order(board, number, share, order)


def _elsewhere(board: Board, number: int) -> dict[Arm, dict[int, float]]:
    """Scores of each arm on the other questions of a question's group that were run, by their number."""
    found: dict[Arm, dict[int, float]] = {}
    for other, question in enumerate(board.questions):
        if other != number and question.group == board.questions[number].group:
            for place in map(int, board.members[other]):
                if (score := board.scores.get(place)) is not None:
                    found.setdefault(board.trials[place].arm, {})[other] = score
    return found


def _in_order(board: Board, number: int, share: float, arms: Sequence[Arm]) -> Iterator[int]:
    """Run a question's trials in an order of arms, those that are within its share."""
    for arm in arms:
        for place in affordable(board, [number], share):
            if board.trials[place].arm == arm:
                yield int(place)
                break


def halving(board: Board, numbers: Sequence[int], share: float) -> Iterator[int]:
    """Run half as many arms on twice as many questions of a group each round, the last two on all of them.

    Successive halving (Jamieson & Talwalkar 2016, https://arxiv.org/abs/1502.07943), whatever the share.
    """
    for group in dict.fromkeys(board.questions[number].group for number in numbers):
        mine = [number for number in numbers if board.questions[number].group == group]
        mine.sort(key=lambda number: stream(0, "halving", board.questions[number].key))
        left = list(dict.fromkeys(board.trials[p].arm for number in mine for p in board.members[number]))
        rounds = max(1, math.ceil(math.log2(len(left))))
        for number in range(rounds):
            asked = mine[: max(1, math.ceil(len(mine) / 2 ** (rounds - 1 - number)))]
            places = [int(p) for q in asked for p in board.members[q] if board.trials[p].arm in left]
            yield from (place for place in places if place not in board.scores)
            means = {
                arm: fmean(scores)
                for arm in left
                if (
                    scores := [
                        s for p in places if board.trials[p].arm == arm and (s := board.scores[p]) is not None
                    ]
                )
            }
            left = sorted(means, key=lambda arm: -means[arm])[: max(2, math.ceil(len(means) / 2))]


Choice = Callable[[Board, int], Arm]
"""Arm that is chosen for a question, by its number."""


def by_beliefs(board: Board, number: int) -> Arm:
    """Arm of the highest expected score, run on this question or on others."""
    return board.answer(number).arm


def by_score(board: Board, number: int) -> Arm:
    """Arm of the highest score among those that were run on the question; where none was, by beliefs."""
    scores = {
        place: s for place in map(int, board.members[number]) if (s := board.scores.get(place)) is not None
    }
    best = max(scores, key=lambda place: scores[place], default=None)
    return board.answer(number).arm if best is None else board.trials[best].arm


def by_group(board: Board, number: int) -> Arm:
    """Arm of the highest mean score among those that were run on most of the group's questions."""
    group = board.questions[number].group
    known: dict[Arm, list[float]] = {}
    for place, trial in enumerate(board.trials):
        if trial.question.group == group and (score := board.scores.get(place)) is not None:
            known.setdefault(trial.arm, []).append(score)
    most = max(map(len, known.values()), default=0)
    means = {arm: fmean(scores) for arm, scores in known.items() if len(scores) == most}
    return max(means, key=lambda arm: means[arm]) if means else board.answer(number).arm
