"""`bench recommend`: methods, and networks, by budget: from existing records, or with those that it adds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.commands.experiments.execution import outcomes, prepared, present
from bench.commands.experiments.run_plan import ExecutionOptions, RunPlan
from bench.commands.options import SuiteOptions
from bench.commands.progress import test_accuracy
from bench.commands.recommending.answers import print_answers
from bench.commands.recommending.board import Board
from bench.commands.recommending.replay import simulate
from bench.commands.recommending.schedules import most_gain
from bench.commands.recommending.trials import choosable, trial_of, validation_score
from bench.core.errors import UserError
from bench.core.text import counted, printable
from bench.data.dataset import open_dataset
from bench.data.splits import VALIDATION
from bench.records.convergence import longest_run
from bench.records.record import Record
from bench.report.render.markdown import equal_table
from bench.report.scores.frame import load_frame
from bench.report.tables import formats
from bench.report.tables.leaderboard import blocks
from bench.report.tables.recommend import Advice, advise
from bench.spec.cell import Cell
from bench.spec.scenarios import stages

OTHERWISE = {
    "missing": "are not run",
    "skipped": "are skipped",
    "failed": "have failed",
    "unreadable": "cannot be read",
    "stale": "are of other code or data",
}
"""Statuses of cells that advice leaves out, in words."""


@dataclass(frozen=True)
class RecommendOptions:
    """Options of `bench recommend`."""

    selection: SuiteOptions
    shots: Sequence[str] | None
    max_seconds: float | None
    equal: str | None
    run: bool
    budget: float
    """Share of the cost of running everything that `run` may take, in (0, 1]."""
    simulate: str | None
    """Results whose records schedules are replayed on, and nothing else is done."""
    device: str
    results: str | None


def recommend(options: RecommendOptions) -> int:
    """Print what the records recommend; returns the exit code."""
    if options.simulate:
        if options.run or any(vars(options.selection).values()):
            raise UserError(
                "--simulate replays what a folder holds, whatever suite it is of: --budget alone goes with it"
            )
        return simulate(options.simulate, options.budget)
    plan = RunPlan.resolve(options.selection, options.results, ExecutionOptions(options.device))
    plan = _with_shots(plan, options.shots)
    if options.run:
        with prepared(plan.store):
            _answer(plan, options)
    elif len(plan.suite.backbones) > 1:
        _answer(plan, options)
    cells = [longest_run(cell, plan.store) for cell in plan.cells]
    # Without a run nobody asks what is there of today: it takes the images.
    frame = present(plan, cells) if options.run else load_frame(plan.store, cells, per_image=False)
    if (frame["status"] != "done").all():
        raise UserError(
            f"no cell of suite '{plan.suite.name}' is done in '{plan.store.root}': "
            "add --run, or run the suite first"
        )
    if not options.run:
        for block in blocks(frame):
            if advice := advise(frame, block, options.max_seconds):
                _print(advice, options.max_seconds)
    if options.equal:
        click.echo(equal_table(frame, options.equal))
    for status, words in OTHERWISE.items():
        if count := int((frame["status"] == status).sum()):
            click.echo(f"{count} of {counted(len(plan.cells), 'cell')} {words} and in no number here")
    return 0


def _with_shots(plan: RunPlan, shots: Sequence[str] | None) -> RunPlan:
    """Filter a plan's cells by shots; None: all of them."""
    choices = sorted({str(cell.scenario.shots) for cell in plan.cells})
    for number in shots or ():
        if number not in choices:
            raise UserError(
                f"suite '{plan.suite.name}' has no cells with {number} shots: "
                f"choose from {', '.join(choices)}"
            )
    wanted = shots or choices
    return replace(plan, cells=[cell for cell in plan.cells if str(cell.scenario.shots) in wanted])


def _answer(plan: RunPlan, options: RecommendOptions) -> None:
    """Print the best method on the best network for each question, by target validation items.

    With `--run` what is missing is run first, as far as the budget goes. Test items have no part in a choice.
    """
    cells = [cell for cell in plan.cells if choosable(cell)]
    if len(cells) < len(plan.cells):
        click.echo("episodes, and targets of which nothing is held out, have no validation items: left out")
    if not cells and options.run:
        raise UserError(
            f"suite '{plan.suite.name}' has no validation items that runs could be chosen by: run it, and "
            "recommend without --run"
        )
    if not cells:
        return
    trials = [trial_of(cell) for cell in cells]
    prior = _prior(plan, cells) if options.run else None
    board = Board(trials, prior, math.inf if options.max_seconds is None else options.max_seconds)
    tests: dict[int, float] = {}

    def observe(place: int, record: Record | None) -> None:
        board.observe(place, validation_score(record), record.cost.alone_seconds if record else 0.0)
        if record and (accuracy := test_accuracy(record)) is not None:
            tests[place] = 100 * accuracy

    # Without a run nobody asks what is there of today.
    todo = {cell.key for cell in plan.store.missing(cells, plan.digests)[0]} if options.run else set()
    for place, cell in enumerate(cells):
        if cell.key not in todo and (record := plan.store.read(cell.key)):
            observe(place, record)
    numbers = range(len(board.questions))
    at_once = plan.execution.executor_options(plan.suite).resources.workers or 1
    while options.run and (places := most_gain(board, numbers, options.budget, at_once)):
        for place, record in zip(places, outcomes(plan, [cells[place] for place in places]), strict=True):
            observe(place, record)
    if any(score is not None for score in board.scores.values()):
        print_answers(board, tests, options.budget)


RANKED = 4.0
"""Points that a network is expected to be ahead by for each standard deviation of its transferability score.

About half of what networks are taken to vary by (`EFFECTS`): such scores order them, and not surely.
"""


def _prior(plan: RunPlan, cells: Sequence[Cell]) -> np.ndarray | None:
    """Points that each cell is expected above the others for its network's score; None of one network.

    The score decides the order of `bench rank-backbones`, here by the labels of target validation items,
    which methods are chosen by as well: those of training items beyond the shots are nobody's. (cells,).
    """
    names = list(dict.fromkeys(cell.backbone for cell in cells))
    if len(names) < 2:
        return None
    from bench.commands.experiments import rank_backbones as ranks

    dataset, points = open_dataset(plan.card), np.zeros(len(cells))
    places: dict[tuple[str, tuple[str, ...], int], list[int]] = {}
    for place, cell in enumerate(cells):
        scenario = cell.scenario
        if not scenario.parts and any(stage.unlabelled for stage in stages(cell)):
            places.setdefault((scenario.target, scenario.target_classes, cell.image_size), []).append(place)
    for (target, classes, size), mine in places.items():
        ranking = ranks.Ranking(dataset, target, classes, size, plan.execution.device, part=VALIDATION)
        rows, reasons = ranks.scored(names, ranking)
        for name, reason in reasons.items():
            click.echo(printable(f"not ranked: {name}: {reason}"))
        scores = {name: row[next(iter(ranks.SCORES))] for name, row in rows.items()}
        deviation = float(np.std(list(scores.values()))) if scores else 0.0
        if deviation:
            mean = float(np.mean(list(scores.values())))
            order = sorted(scores, key=lambda name: -scores[name])
            click.echo(printable(f"{target}: networks in the order of their scores: {', '.join(order)}"))
            for place in mine:
                score = scores.get(cells[place].backbone, mean)
                points[place] = RANKED * (score - mean) / deviation
    return points


def _print(advice: Advice, max_seconds: float | None) -> None:
    console, words = Console(), advice.block.words
    console.print(Text(f"{advice.block.title} ({counted(advice.cells, 'shared cell')})", style="bold"))
    if advice.too_dear:
        click.echo(f"over {max_seconds:g} s a cell: {', '.join(advice.too_dear)}")
    if not advice.candidates:
        click.echo("no method is within these seconds\n")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("method", words.metric, "95 %", "seconds", "best in", "separable"):
        table.add_column(name, justify="left" if name == "method" else "right")
    best = advice.candidates[0]
    alone = len(advice.candidates) == 1
    for row in advice.candidates:
        table.add_row(
            Text(row.method),
            formats.percent(row.accuracy),
            formats.interval(row.interval),
            formats.seconds(row.seconds),
            formats.DASH if alone else f"{100 * row.chance:.0f} %",
            "" if row is best else "yes" if row.separable else "no",
        )
    console.print(table)
    if alone:
        click.echo(f"only {best.method} has results here: there is nothing to compare it with\n")
        return
    cheap = advice.cheapest
    text = f"use {best.method}: the highest {words.metric} in {100 * best.chance:.0f} % of resamples"
    text += f" of test {words.items}"
    if cheap is not best:
        share = cheap.seconds / best.seconds
        text += f"; {cheap.method} is not separable from it and takes {100 * share:.0f} % of its seconds"
    click.echo(text + "\n")
