"""`bench check-search`: a search against random members of its space and random search, at equal cost.

Li & Talwalkar 2019, "Random Search and Reproducibility for Neural Architecture Search".
https://arxiv.org/abs/1902.07638
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from scipy import stats

from bench.commands.experiments.execution import outcomes, prepared
from bench.commands.experiments.run_plan import ExecutionOptions, RunPlan
from bench.commands.experiments.tune import allowed_score
from bench.commands.options import SuiteOptions
from bench.core.errors import UserError
from bench.core.text import counted
from bench.records.record import Record
from bench.spec.cell import Cell

METHOD = "nas-lite"
ONE = {"candidates": 1}
"""A random member: a search that begins with one candidate, another one for each seed."""
FEWEST = 2
"""Steps of a draw: its target stage has half as many."""


@dataclass(frozen=True)
class CheckSearchOptions:
    """Options of `bench check-search`."""

    selection: SuiteOptions
    draws: int
    device: str
    results: str | None


def check(options: CheckSearchOptions) -> int:
    """Run what is missing of the comparison and print it; returns the exit code."""
    selection = replace(options.selection, methods=[METHOD])
    plan = RunPlan.resolve(selection, options.results, ExecutionOptions(options.device), suffix="-search")
    searches = [cell for cell in plan.cells if not cell.scenario.episodes]
    if not searches:
        raise UserError(
            f"suite '{plan.suite.name}' has episodes only: choose a suite that trains on all classes"
        )
    if options.draws > plan.suite.budget.steps // FEWEST:
        raise UserError(
            f"--draws {options.draws}: each takes {FEWEST} steps or more, and a search of this suite has "
            f"{plan.suite.budget.steps}: use fewer, or more --steps"
        )
    members = [cell.model_copy(update={"overrides": {**cell.overrides, **ONE}}) for cell in searches]
    draws = [_draws(cell, options.draws) for cell in members]
    cells = [*searches, *members, *(cell for some in draws for cell in some)]
    with prepared(plan.store):
        records = {record.key: record for record in outcomes(plan, cells) if record and _is_done(record)}
    search, member = ([_accuracy(records, cell) for cell in some] for some in (searches, members))
    best = [_best(records, some) for some in draws]
    complete = [i for i, row in enumerate(zip(search, member, best, strict=True)) if None not in row]
    if not complete:
        raise UserError("no question was answered by all three: see `bench report` for the reasons")
    scenarios = [searches[i].scenario.model_dump_json() for i in complete]
    rows = (np.array([row[i] for i in complete], dtype=float) for row in (search, member, best))
    _print(scenarios, *rows)
    if lost := len({cell.key for cell in cells}) - len(records):
        click.echo(f"{counted(lost, 'cell')} of {len(cells)} could not be done: what lacks one is left out")
    return 0


def _draws(cell: Cell, draws: int) -> list[Cell]:
    """Random members that share one cell's cost: a part of its steps each, and a fold to choose by."""
    budget = cell.budget.model_copy(update={"steps": cell.budget.steps // draws, "evaluations": 1})
    fold = None if cell.scenario.shots == 0 else 0
    return [
        cell.model_copy(update={"budget": budget, "fold": fold, "seed": 1000 + draws * cell.seed + number})
        for number in range(draws)
    ]


def _is_done(record: Record) -> bool:
    return record.done and bool(record.evaluations)


def _accuracy(records: Mapping[str, Record], cell: Cell) -> float | None:
    """Test accuracy at the last evaluation, percent; None where the cell is not done."""
    record = records.get(cell.key)
    return None if record is None else 100 * record.evaluations[-1].accuracy["target-test"]


def _best(records: Mapping[str, Record], cells: Sequence[Cell]) -> float | None:
    """Test accuracy of the draw that scores best on what a method may choose by; None unless all have one.

    The best of fewer draws would not be at equal cost.
    """
    if any(cell.key not in records for cell in cells):
        return None
    scores = [(allowed_score(records[cell.key]), cell.key) for cell in cells]
    known = [(score, key) for score, key in scores if score is not None]
    if len(known) < len(scores):
        return None
    best = records[max(known, key=lambda each: each[0])[1]]
    return 100 * best.evaluations[-1].accuracy["target-test"]


def _print(scenarios: Sequence[str], search: np.ndarray, member: np.ndarray, best: np.ndarray) -> None:
    """Print means over cells, and the search's lead with a t interval over them."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("at equal cost", "accuracy", "search leads by", "95 %"):
        table.add_column(name, justify="left" if name == "at equal cost" else "right")
    table.add_row(METHOD, f"{search.mean():.1f}", "", "")
    for name, other in (("random member", member), ("random search", best)):
        lead = search - other
        interval = "–"
        if len(lead) > 1 and np.ptp(lead) > 0:
            low, high = stats.t.interval(0.95, len(lead) - 1, lead.mean(), stats.sem(lead))
            interval = f"{low:+.1f} to {high:+.1f}"
        table.add_row(name, f"{other.mean():.1f}", f"{lead.mean():+.1f}", interval)
    Console().print(table)
    runs, questions = counted(len(search), "run"), counted(len(set(scenarios)), "question")
    click.echo(f"{runs} of {questions}; intervals over runs")
