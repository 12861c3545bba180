"""`bench recommend --simulate`: schedules replayed on records, by what they miss and what they spend."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.commands.recommending import schedules
from bench.commands.recommending.board import Board
from bench.commands.recommending.schedules import Choice, Schedule
from bench.commands.recommending.trials import (
    Arm,
    Trial,
    choosable,
    evaluation_score,
    trial_of,
    validation_score,
)
from bench.core.errors import UserError
from bench.core.text import counted, printable
from bench.records.baselines import open_results
from bench.records.record import Record
from bench.records.selection import label_free_scores
from bench.report.tables.formats import DASH
from bench.spec.rules import TUNES_BY


@dataclass(frozen=True)
class Known:
    """What a record tells of a trial.

    score: percent that it is chosen by; None where it could not be run. test: percent on test items, which
    judge a choice and have no part in it. rungs: score and seconds until then of each evaluation of the last
    stage. label_free: what the rule of `bench tune` says of it without a label; None if nothing.
    """

    trial: Trial
    score: float | None
    test: float
    seconds: float
    rungs: tuple[tuple[float, float], ...] = ()
    label_free: float | None = None


def known_of(record: Record, is_variant: bool = False) -> Known:
    """What a record tells of its trial; that of a variant is of its hyperparameters."""
    cell, score = record.request.cell, validation_score(record)
    trial = trial_of(cell)
    if is_variant and cell.overrides:
        words = ", ".join(f"{name}={value}" for name, value in sorted(cell.overrides.items()))
        trial = trial._replace(arm=trial.arm._replace(method=f"{cell.method} ({words})"))
    if score is None:
        return Known(trial, None, 0.0, 0.0)
    place = record.selected.get(cell.headline, len(record.evaluations) - 1)
    if math.isnan(tested := record.evaluations[place].tested):
        # What nothing is known of on test items can be no choice's regret.
        return Known(trial, None, 0.0, 0.0)
    alone, last = record.cost.alone_seconds, record.evaluations[-1]
    stage = record.cost.stages.get(last.stage)
    training = stage.total_seconds if stage else 0.0
    rungs = tuple(
        (value, alone - training * (1 - (each.step / last.step if last.step else 1.0)))
        for each in record.evaluations
        if each.stage == last.stage and (value := evaluation_score(each)) is not None
    )
    free = label_free_scores([record.evaluations[place]], TUNES_BY)[0]
    return Known(trial, score, 100 * tested, alone, rungs, free)


@dataclass(frozen=True)
class Outcome:
    """Outcome of a schedule on a question: the arm chosen, its regret in points, and the seconds spent.

    regret: test accuracy of the question's best arm less that of the chosen one.
    """

    pair: str
    group: str
    arm: Arm | None
    regret: float
    seconds: float
    matrix: float
    """Seconds of all of the question's trials."""
    separable: bool = False


def replay(known: Sequence[Known], schedule: Schedule, choose: Choice, share: float) -> list[Outcome]:
    """Replay a schedule that begins with nothing known, on all questions together."""
    board = Board([each.trial for each in known])
    numbers = range(len(board.questions))
    _run(board, known, schedule(board, numbers, share))
    return [_outcome(board, known, number, choose) for number in numbers]


def replay_elsewhere(
    known: Sequence[Known], schedule: Schedule, choose: Choice, share: float
) -> list[Outcome]:
    """Replay a schedule on each pair with all that is recorded of the other pairs known for nothing."""
    trials = [each.trial for each in known]
    found: dict[int, Outcome] = {}
    for pair in dict.fromkeys(trial.question.pair for trial in trials):
        board = Board(trials)
        numbers = [place for place, question in enumerate(board.questions) if question.pair == pair]
        _run(board, known, (place for place, trial in enumerate(trials) if trial.question.pair != pair))
        _run(board, known, schedule(board, numbers, share))
        found |= {number: _outcome(board, known, number, choose) for number in numbers}
    return [found[number] for number in sorted(found)]


def _run(board: Board, known: Sequence[Known], places: Iterable[int]) -> None:
    for place in places:
        board.observe(place, known[place].score, known[place].seconds)


def _outcome(board: Board, known: Sequence[Known], number: int, choose: Choice) -> Outcome:
    places = [int(place) for place in board.members[number]]
    spent = sum(board.seconds.get(place, 0.0) for place in places)
    return _judged(
        [known[place] for place in places], choose(board, number), spent, board.answer(number).separable
    )


def _judged(known: Sequence[Known], arm: Arm | None, spent: float, separable: bool = False) -> Outcome:
    """Outcome of choosing an arm on a question."""
    tests: dict[Arm, list[float]] = {}
    for each in known:
        if each.score is not None:
            tests.setdefault(each.trial.arm, []).append(each.test)
    means = {each: fmean(values) for each, values in tests.items()}
    question = known[0].trial.question
    return Outcome(
        question.pair,
        question.group,
        arm,
        max(means.values()) - (means.get(arm, 0.0) if arm else 0.0),
        spent,
        sum(each.seconds for each in known),
        separable,
    )


def replay_steps(known: Sequence[Known]) -> list[Outcome]:
    """Replay successive halving over steps: after each evaluation the better half of the arms trains on."""
    found = []
    for mine in _by_question(known):
        able = [each for each in mine if each.rungs]
        rounds = max((len(each.rungs) for each in able), default=0)
        left, spent = able, 0.0
        for rung in range(rounds):
            at = [(each, each.rungs[min(rung, len(each.rungs) - 1)]) for each in left]
            before = [each.rungs[min(rung - 1, len(each.rungs) - 1)][1] if rung else 0.0 for each in left]
            spent += sum(seconds - earlier for (_, (_, seconds)), earlier in zip(at, before, strict=True))
            ranked = [each for each, (score, _) in sorted(at, key=lambda pair: -pair[1][0])]
            left = ranked if rung == rounds - 1 else ranked[: max(2, -(-len(ranked) // 2))]
        found.append(_judged(mine, left[0].trial.arm if left else None, spent))
    return found


def replay_label_free(known: Sequence[Known]) -> list[Outcome]:
    """Run everything and choose without a label, by the rule that `bench tune` goes by."""
    found = []
    for mine in _by_question(known):
        scored = [each for each in mine if each.label_free is not None]
        best = max(scored, key=lambda each: each.label_free or 0.0, default=None)
        found.append(_judged(mine, best.trial.arm if best else None, sum(each.seconds for each in mine)))
    return found


def _by_question(known: Sequence[Known]) -> list[list[Known]]:
    questions: dict[object, list[Known]] = {}
    for each in known:
        questions.setdefault(each.trial.question, []).append(each)
    return list(questions.values())


DEFAULT = "gain a second"
"""Schedule of `bench recommend --run`."""

ROWS: dict[str, Callable[[Sequence[Known], float], list[Outcome]]] = {
    "everything, best validation score": lambda known, share: replay(
        known, schedules.everything, schedules.by_score, share
    ),
    "everything, best by beliefs": lambda known, share: replay(
        known, schedules.everything, schedules.by_beliefs, share
    ),
    f"everything, best by {TUNES_BY}": lambda known, share: replay_label_free(known),
    "halving over methods": lambda known, share: replay(known, schedules.halving, schedules.by_group, share),
    "halving over steps": lambda known, share: replay_steps(known),
    "cheapest first": lambda known, share: replay(known, schedules.cheapest_first, schedules.by_score, share),
    DEFAULT: lambda known, share: replay(known, schedules.gain_per_second, schedules.by_beliefs, share),
    "other pairs known: their best": lambda known, share: replay_elsewhere(
        known, schedules.best_elsewhere, schedules.by_score, share
    ),
    "other pairs known: portfolio": lambda known, share: replay_elsewhere(
        known, schedules.portfolio, schedules.by_score, share
    ),
    f"other pairs known: {DEFAULT}": lambda known, share: replay_elsewhere(
        known, schedules.gain_per_second, schedules.by_beliefs, share
    ),
}
"""Schedules that are compared, by name: outcomes by question, of records and a share that may be spent."""


def simulate(source: str, share: float) -> int:
    """Print what each schedule would have missed and spent on the records of a folder; returns the exit code.

    Raises:
        UserError: there are no records, or none that methods could be chosen by.
    """
    records = [record for record in open_results(source).records() if not record.request.cell.control_of]
    records = [record for record in records if choosable(record.request.cell)]
    variants = Counter(
        method for method, _ in {(each.request.cell.method, _overrides(each)) for each in records}
    )
    known = [known_of(record, variants[record.request.cell.method] > 1) for record in records]
    able = {each.trial.question for each in known if each.score is not None}
    known = [each for each in known if each.trial.question in able]
    arms = {each.trial.arm for each in known}
    if len(arms) < 2:
        raise UserError(
            f"'{source}' has {'one method' if arms else 'no record'} with validation scores: "
            "run two methods or more, or name another folder"
        )
    matrix = sum(each.seconds for each in known)
    click.echo(
        f"{counted(len(able), 'question')}, {counted(len(arms), 'method')}: {counted(len(known), 'cell')} of "
        f"{matrix / 3600:.2f} h alone; schedules may spend {share:.0%} of that"
    )
    outcomes = {name: row(known, share) for name, row in ROWS.items()}
    click.echo(f"schedule '{DEFAULT}':\n")
    for group in dict.fromkeys(row.group for row in outcomes[DEFAULT]):
        _print_group(group, [row for row in outcomes[DEFAULT] if row.group == group])
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("schedule", "of the cost", "mean regret", "worst"):
        table.add_column(name, justify="left" if name == "schedule" else "right")
    for name, rows in outcomes.items():
        table.add_row(
            Text(name),
            f"{sum(row.seconds for row in rows) / matrix:.1%}",
            f"{fmean(row.regret for row in rows):.2f}",
            f"{max(row.regret for row in rows):.1f}",
        )
    Console().print(table)
    return 0


def _overrides(record: Record) -> tuple[tuple[str, object], ...]:
    return tuple(sorted(record.request.cell.overrides.items()))


def _print_group(group: str, rows: Sequence[Outcome]) -> None:
    """Print what the schedule chose on each question of a group."""
    several = len({row.arm.backbone for row in rows if row.arm}) > 1
    table = Table(box=box.SIMPLE_HEAD, title=Text(printable(group)), title_justify="left")
    for name in ("question", "use", "regret, points", "of its cost", "separable"):
        table.add_column(name, justify="left" if name in ("question", "use") else "right")
    for row in rows:
        table.add_row(
            Text(printable(row.pair)),
            Text(printable(" on ".join(row.arm if several else row.arm[:1])) if row.arm else DASH),
            f"{row.regret:.1f}",
            f"{row.seconds / row.matrix:.0%}",
            "yes" if row.separable else "no",
        )
    Console().print(table)
