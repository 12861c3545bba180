"""`bench reproduce`: run what findings of papers ask for, and judge what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.commands.experiments.execution import execute, prepared, present, ready
from bench.commands.experiments.run_plan import ExecutionOptions, RunPlan
from bench.commands.results.asked import keep
from bench.commands.results.report import replace_tables
from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.core.paths import RESULTS
from bench.core.text import counted, printable
from bench.data.catalog import load_card
from bench.method.registry import control_of, explicit
from bench.records.baselines import BASELINES
from bench.records.store import Store
from bench.report.render import reproductions
from bench.report.render.reproductions import Reproduction
from bench.report.scores.frame import load_frame
from bench.report.statistics.verdicts import Measured, agreement, measure, undone
from bench.spec.cell import Cell, Value
from bench.spec.findings import Comparison, Finding, Ranking, Term, finding_names, load_finding
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import Suite, load_suite

PAGE = "reproductions.html"


@dataclass(frozen=True)
class ReproduceOptions:
    """Options of `bench reproduce`."""

    names: Sequence[str]
    """Findings; none: all of them."""
    update: str | None
    """Document whose tables are replaced."""
    results: str | None
    """Folder that holds the suites' results folders; None: `results`."""
    recorded: bool
    """Whether nothing is run: verdicts by a suite's folder, else by the baseline of its name."""
    execution: ExecutionOptions


@dataclass(frozen=True)
class Asked:
    """Finding with the cells of each term of whatever it compares."""

    finding: Finding
    cells: Sequence[Sequence[Sequence[Cell]]]

    @property
    def all(self) -> dict[str, Cell]:
        """Cells by key."""
        return {cell.key: cell for terms in self.cells for term in terms for cell in term}


def show() -> None:
    """Print the findings."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("finding", "paper", "suite", "what it says"):
        table.add_column(column, no_wrap=column == "finding", overflow="fold")
    for finding in map(load_finding, finding_names()):
        table.add_row(*map(Text, (finding.name, finding.paper, finding.suite, finding.title)))
    Console().print(table)


def reproduce(options: ReproduceOptions) -> int:
    """Run what is missing for some findings, and print and write verdicts.

    A suite that cannot run, as one whose data are missing, is left out with the reason. Returns the exit
    code: 1 if a cell failed, or has no record of today's code and data after its run.

    Raises:
        UserError: a finding's name is unknown, or nothing is to be run and there is no folder of results.
    """
    findings = [load_finding(name) for name in options.names or finding_names()]
    root = Path(options.results or RESULTS)
    if options.recorded and not root.is_dir():
        raise UserError(f"nothing is recorded in '{root}', which is no folder: name another with --results")
    found: dict[str, Reproduction] = {}
    statuses: set[str] = set()
    newest = ""
    suites = list(dict.fromkeys(finding.suite for finding in findings))
    for place, name in enumerate(suites, 1):
        click.echo(f"suite {place} of {len(suites)}: {name}")
        suite = load_suite(name)
        asked = [_asked(finding, suite) for finding in findings if finding.suite == name]
        cells = _in_order({key: cell for each in asked for key, cell in each.all.items()}, suite)
        ours = RunPlan(suite, load_card(suite.dataset), cells, Store(root / name), options.execution)
        ours, reason = (ours, "") if options.recorded else _run(ours)
        if options.recorded:
            frames = [_frame(store, cells) for store in (ours.store, Store(root / BASELINES.name / name))]
        else:
            frames = [_frame(ours.store, cells) if reason else present(ours, cells)]
        # What a run was to give and has not; what could not run is said.
        statuses.update(set(frames[0]["status"]) - ({"missing"} if options.recorded or reason else set()))
        for each in asked:
            judged = [(_reproduction(each, frame, reason), frame) for frame in frames]
            first = next((pair for pair in judged if pair[0].verdict != "not run"), judged[0])
            found[each.finding.name], frame = first
            newest = max([newest, *frame["created"].dropna()])
    ordered = [found[finding.name] for finding in findings]
    Console().print(reproductions.terminal(ordered))
    command = " ".join(["python -m bench reproduce", *options.names])
    made = f"Measured {newest[:10] or 'never'} by {command}."
    write_atomically(root / PAGE, reproductions.page(ordered, made).encode())
    click.echo(f"page: {root / PAGE}")
    if options.update:
        replace_tables(Path(options.update), reproductions.markdown(ordered, made))
    return 1 if statuses & {"failed", "unreadable", "missing", "stale"} else 0


def _frame(store: Store, cells: Sequence[Cell]) -> pd.DataFrame:
    return load_frame(store, cells, per_image=False)


def _asked(finding: Finding, suite: Suite) -> Asked:
    cells = [[_cells(finding, each, term, suite) for term in each.terms] for each in finding.asked]
    return Asked(finding, cells)


def _cells(finding: Finding, asked: Comparison | Ranking, term: Term, suite: Suite) -> list[Cell]:
    """Cells of a term: those of the suite, with one method alone."""
    method, overrides = _recipe(term, suite)
    own = suite.model_copy(update={"methods": [method], "set": {method: overrides}})
    cells = [cell for cell in plan(own, load_card(suite.dataset)) if finding.takes(asked, term, cell)]
    if term.control and method == term.method:
        return [cell.model_copy(update={"control_of": (method,)}) for cell in cells]
    return cells


def _recipe(term: Term, suite: Suite) -> tuple[str, dict[str, Value]]:
    """Method and hyperparameters of a term, those that make it its own control included."""
    method, own = term.method, suite.set.get(term.method, {})
    if not term.control:
        return method, explicit(method, own, suite.recipe)
    control = control_of(method)
    if control is None:
        raise UserError(f"method '{method}' declares no control")
    if isinstance(control, str):
        return control, explicit(control, suite.set.get(control, {}), suite.recipe)
    return method, explicit(method, {**own, **control}, suite.recipe)


def _in_order(cells: dict[str, Cell], suite: Suite) -> list[Cell]:
    """Order cells so that those which share a source stage follow each other."""
    methods = {name: place for place, name in enumerate(suite.methods)}

    def place(cell: Cell) -> tuple[int, str, int, str, str]:
        scenario = cell.scenario
        return cell.seed, cell.backbone, methods.get(cell.method, -1), str(scenario.source), scenario.target

    return sorted(cells.values(), key=place)


def _run(plan: RunPlan) -> tuple[RunPlan, str]:
    """Run the cells that have no current record; returns why that cannot be, or nothing.

    Also the plan; where images were left out, with digests of the others.

    Raises:
        UserError: they were being run, and could not be any more.
    """
    cells, store = plan.cells, plan.store
    try:
        with prepared(store):
            todo, stale = store.missing(cells, plan.digests)
            again = f", {stale} stale" if stale else ""
            recorded = len(cells) - len(todo)
            click.echo(f"{counted(len(cells), 'cell')}, {recorded} recorded{again}, {len(todo)} to run")
            keep(store, plan.suite, plan.card, {})
            if todo:
                plan = ready(plan, todo)
    except UserError as error:
        click.echo(printable(f"skipped: {error}"), err=True)
        return plan, str(error)
    if todo:
        execute(plan, todo)
    return plan, ""


def _reproduction(asked: Asked, frame: pd.DataFrame, reason: str) -> Reproduction:
    """Judge a finding by the rows of its cells; `reason` is why cells could not run, if they could not."""
    measured: list[Measured] = []
    for each, terms in zip(asked.finding.asked, asked.cells, strict=True):
        rows = [frame[frame["key"].isin([cell.key for cell in cells])] for cells in terms]
        found = _ranked(each, rows[0]) if isinstance(each, Ranking) else measure(each, rows)
        measured.append(replace(found, why=reason) if reason and found.verdict == "not run" else found)
    return Reproduction(asked.finding, measured)


def _ranked(ranking: Ranking, cells: pd.DataFrame) -> Measured:
    """Judge how LogME ranks the networks of some cells, by the features that these kept."""
    # Late: with it come scikit-learn's modules, which few findings need.
    from bench.engine.evaluation.transferability import log_me

    if reason := undone(cells):
        return Measured("not run", reason)
    kept = cells[cells["features"].notna()]
    if len(kept) < len(cells):
        return Measured("not run", "its cells kept no features")
    loaded = [features.load() for features in kept["features"]]
    scores = [
        log_me(each.features["before"], np.unique(each.classes, return_inverse=True)[1]) for each in loaded
    ]
    return agreement(ranking, pd.Series(scores, index=kept["backbone"]).groupby(level=0).mean(), kept)
