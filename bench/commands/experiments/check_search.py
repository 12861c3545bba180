"""`bench check-search`: is a search worth its cost, against random members of its space and random search?

Li & Talwalkar 2019, "Random Search and Reproducibility for Neural Architecture Search".
https://arxiv.org/abs/1902.07638
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from scipy import stats

from bench.commands.experiments.request import narrow
from bench.commands.experiments.session import Means, run_cells, today
from bench.commands.experiments.tune import allowed_score
from bench.core.errors import UserError
from bench.core.paths import RESULTS
from bench.data.catalog import load_card
from bench.records.record import Record
from bench.records.store import Store
from bench.spec.cell import Cell
from bench.spec.matrix.plan import plan

METHOD = "nas-lite"
ONE = {"candidates": 1}
"""A random member: a search that begins with one candidate, another one for each seed."""


@dataclass(frozen=True)
class Request:
    """The command line's options."""

    suite: str
    seeds: list[str] | None
    draws: int
    device: str
    results: str | None


def check(request: Request) -> int:
    """Run what is missing of the comparison and print it; returns the exit code."""
    suite = narrow(request.suite, methods=[METHOD], seeds=request.seeds)
    searches = [cell for cell in plan(suite, load_card(suite.dataset)) if not cell.scenario.episodes]
    if not searches:
        raise UserError(f"suite '{suite.name}' has episodes only: choose a suite that trains on all classes")
    members = [cell.model_copy(update={"overrides": {**cell.overrides, **ONE}}) for cell in searches]
    drawn = [_draws(cell, request.draws) for cell in members]
    store = Store(request.results or RESULTS / f"{suite.name}-search")
    store.prepare()
    digests = today(suite)
    todo, _ = store.missing([*searches, *members, *(c for cells in drawn for c in cells)], digests)
    run_cells(todo, suite, Means(request.device), digests, store)
    search, member = ([_accuracy(store, cell) for cell in cells] for cells in (searches, members))
    found = [_best(store, cells) for cells in drawn]
    able = [i for i, row in enumerate(zip(search, member, found, strict=True)) if None not in row]
    if not able:
        raise UserError("no question was answered by all three: see `bench report` for the reasons")
    asked = [searches[i].scenario.model_dump_json() for i in able]
    _print(asked, *(np.array([rows[i] for i in able], dtype=float) for rows in (search, member, found)))
    return 0


def _draws(cell: Cell, draws: int) -> list[Cell]:
    """Random members that share one cell's cost: a part of its steps each, and shots to choose by."""
    budget = cell.budget.model_copy(update={"steps": max(2, cell.budget.steps // draws), "evaluations": 1})
    fold = None if cell.scenario.shots == 0 else 0
    return [
        cell.model_copy(update={"budget": budget, "fold": fold, "seed": 1000 + draws * cell.seed + number})
        for number in range(draws)
    ]


def _record(store: Store, cell: Cell) -> Record | None:
    record = store.read(cell.key)
    return record if record and record.evaluations and record.outcome.status == "done" else None


def _accuracy(store: Store, cell: Cell) -> float | None:
    """Test accuracy at the last look, percent."""
    record = _record(store, cell)
    return None if record is None else 100 * record.evaluations[-1].accuracy["target-test"]


def _best(store: Store, cells: Sequence[Cell]) -> float | None:
    """Test accuracy of the draw that scores best on what a method may choose by."""
    records = [record for cell in cells if (record := _record(store, cell))]
    if not records:
        return None
    best = max(records, key=lambda record: allowed_score(record) or 0.0)
    return 100 * best.evaluations[-1].accuracy["target-test"]


def _print(asked: Sequence[str], search: np.ndarray, member: np.ndarray, found: np.ndarray) -> None:
    """Means over questions, and the search's lead with a t interval over them."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("at equal cost", "accuracy", "search leads by", "95 %"):
        table.add_column(name, justify="left" if name == "at equal cost" else "right")
    table.add_row(METHOD, f"{search.mean():.1f}", "", "")
    for name, other in (("random member", member), ("random search", found)):
        lead = search - other
        said = "–"
        if len(lead) > 1 and np.ptp(lead) > 0:
            low, high = stats.t.interval(0.95, len(lead) - 1, lead.mean(), stats.sem(lead))
            said = f"{low:+.1f} to {high:+.1f}"
        table.add_row(name, f"{other.mean():.1f}", f"{lead.mean():+.1f}", said)
    Console().print(table)
    click.echo(f"{len(search)} runs of {len(set(asked))} questions; intervals over runs")
