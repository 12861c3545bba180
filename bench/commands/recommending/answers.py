"""Answers of a recommendation in words: what to use, how sure that is, and why no more was run."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.commands.recommending.board import Answer, Board
from bench.commands.recommending.schedules import affordable
from bench.commands.recommending.trials import Arm
from bench.core.text import counted, printable
from bench.report.tables import formats


def print_answers(board: Board, tests: Mapping[int, float], share: float) -> None:
    """Print what to use on each question, a table for each group, and why it ended.

    Args:
        board: what was run.
        tests: test accuracy in percent of the trials that were run, by place; nothing was chosen by it.
        share: of the cost of running everything that could be spent.
    """
    numbers = range(len(board.questions))
    predicted = board.predicted()
    left = set(affordable(board, numbers, share).tolist())
    for group in dict.fromkeys(question.group for question in board.questions):
        mine = [number for number in numbers if board.questions[number].group == group]
        Console().print(Text(printable(group), style="bold"))
        table = Table(box=box.SIMPLE_HEAD)
        for name in ("question", "use", "test, %", "before", "by, points", "95 %"):
            table.add_column(name, justify="right" if name in ("test, %", "by, points", "95 %") else "left")
        for number in mine:
            if not any(map(board.able, map(int, board.members[number]))):
                continue
            answer = board.answer(number)
            table.add_row(
                Text(printable(answer.question.pair)),
                Text(name_of(board, answer.arm)),
                formats.percent(_test(board, number, answer.arm, tests)),
                Text(name_of(board, answer.other)) if answer.other else formats.DASH,
                formats.points(answer.lead) if answer.other else formats.DASH,
                f"{answer.low:.1f} to {answer.high:.1f}" if answer.other else formats.DASH,
            )
        Console().print(table)
        for number in mine:
            click.echo(printable(f"{board.questions[number].pair}: {sentence(board, number, left)}"))
        click.echo("")
    ran = sum(score is not None for score in board.scores.values())
    spent, total = sum(board.seconds.values()), float(predicted.sum())
    click.echo(
        f"{ran} of {counted(len(board.trials), 'cell')} run, {spent / total if total else 0:.0%} of what all "
        "would take, each alone, by those that are run; chosen by validation items, judged by test items"
    )


def sentence(board: Board, number: int, left: set[int]) -> str:
    """Say what to use on a question, and why no more is run, given the places that could be."""
    if not any(map(board.able, map(int, board.members[number]))):
        return "no method can be run here, or within the seconds that are asked for"
    answer = board.answer(number)
    use = f"use {name_of(board, answer.arm)}"
    if not any(board.trials[p].arm == answer.arm and p in board.scores for p in board.members[number]):
        use += " (not run here: by what is run on other questions)"
    if answer.other is None:
        return f"{use}: there is nothing to compare it with"
    other = name_of(board, answer.other)
    if answer.separable:
        return f"{use}: separable from {other}, the next one"
    return f"{use}: not separable from {other}, and {_why(board, answer, number, left)}"


def _why(board: Board, answer: Answer, number: int, left: set[int]) -> str:
    """Why no run is to separate an answer from the next one."""
    missing = {int(p) for p in board.members[number] if int(p) not in board.scores and board.able(int(p))}
    rivals = {place for place in missing if board.trials[place].arm in (answer.arm, answer.other)}
    if not rivals:
        return "both are run: more seeds or more validation items could tell, other methods cannot"
    if not rivals & left:
        return "what could tell them apart is beyond the budget"
    return "no run is expected to change the answer"


def name_of(board: Board, arm: Arm | None) -> str:
    """Name of an arm: its method, with the network where there are several."""
    if arm is None:
        return formats.DASH
    several = len({trial.arm.backbone for trial in board.trials}) > 1
    return printable(f"{arm.method} on {arm.backbone}" if several else arm.method)


def _test(board: Board, number: int, arm: Arm, tests: Mapping[int, float]) -> float | None:
    """Mean test accuracy of an arm on a question; None where it was not run."""
    places = map(int, board.members[number])
    found = [tests[place] for place in places if place in tests and board.trials[place].arm == arm]
    return fmean(found) if found else None
