"""`bench run`: from options to records, a table and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import click

from bench.commands.experiments.execution import execute, executor_for, prepared, ready, run_cells
from bench.commands.experiments.feasibility import check_images
from bench.commands.experiments.run_plan import ExecutionOptions, RunPlan
from bench.commands.options import SuiteOptions
from bench.commands.progress import Ended, nothing
from bench.commands.results.asked import keep
from bench.core.errors import UserError
from bench.core.modalities import MODALITIES
from bench.core.paths import RESULTS, own_data
from bench.core.text import counted, printable
from bench.data.card import own_name, packaged
from bench.data.catalog import load_card
from bench.data.dataset import open_dataset
from bench.method.registry import load_method
from bench.processes.garbage import fast_imports
from bench.records.baselines import BASELINES, names
from bench.records.convergence import longer
from bench.records.store import Store
from bench.spec.cell import Cell
from bench.spec.matrix.suite import ScenarioTable, Suite


@dataclass(frozen=True)
class RunOptions:
    """Options of `bench run`."""

    selection: SuiteOptions
    execution: ExecutionOptions
    results: str | None
    plan_only: bool
    simulate: int | None
    """Nodes that the plan is simulated on."""
    fresh: bool
    retry_failed: bool
    keep_stale: bool
    cell: str | None

    @classmethod
    def parse(cls, selection: SuiteOptions, **options: Any) -> RunOptions:
        """Group the command line's options."""
        execution = {field.name: options.pop(field.name) for field in fields(ExecutionOptions)}
        return cls(selection, ExecutionOptions(**execution), **options)


def run(options: RunOptions) -> int:
    """Run what is missing of a suite; returns the exit code: 0 all done, 1 some cell failed."""
    if options.simulate and not options.plan_only:
        raise UserError("--simulate estimates a plan: give --plan too")
    if options.plan_only:
        plan, _ = _resolved(options)
        with fast_imports():
            from bench.commands.experiments.plan_view import show

            for method in plan.suite.methods:
                load_method(method)
        show(plan, _to_run(plan, options), options.simulate)
        return 0
    return _conclude(*carry_out(options, shows_page=not options.cell), options.keep_stale)


def _resolved(options: RunOptions) -> tuple[RunPlan, str]:
    """Plan of the suite, or of one recorded cell with the digest of its images then."""
    return _recorded(options) if options.cell else (_planned(options), "")


def carry_out(options: RunOptions, shows_page: bool = False) -> tuple[RunPlan, Sequence[Cell]]:
    """Run what is missing of a suite; returns the plan and the cells that have run.

    No report is built, but for the page that grows meanwhile if it `shows_page`.
    """
    plan, images = _resolved(options)
    with prepared(plan.store):
        if plan.store.empty:
            # There will be something to do: a worker loads its libraries while images are listed.
            executor_for(plan)
        current = next(iter(plan.digests.values())).dataset
        if images and images != current:
            click.echo(
                f"warning: other {plan.card.kind.items} than were recorded: "
                f"their digest is {current}, not {images}",
                err=True,
            )
        todo = _missing(plan, options)
        check_images(plan, todo)
        work = todo or plan.execution.device not in ("auto", "cpu")
        there = ready(plan, todo) if work else plan
        if there is not plan:
            # Without the images that were left out, another run may have recorded the same.
            plan, todo = there, _missing(there, options)
        if not options.cell:
            # Before the first cell: the page of a run that was interrupted knows what is missing.
            keep(plan.store, plan.suite, plan.card, plan.controls)
        if work:
            execute(plan, todo, ended=_growing_page(plan, todo) if shows_page else nothing)
        if todo:
            _run_lost(plan)
        if not options.cell:
            plan, todo = _until_converged(plan, todo, options)
    return plan, todo


def _growing_page(plan: RunPlan, todo: Sequence[Cell]) -> Ended:
    """What is done for the page of a run when one of its cells has ended."""
    from bench.commands.results.growing import GrowingPage

    return GrowingPage(plan.store, plan.suite, plan.cells, todo).ended


def _planned(options: RunOptions) -> RunPlan:
    """Plan of the suite, tuned first if its budget has trials, which are kept beside its records."""
    plan = RunPlan.resolve(options.selection, options.results, options.execution).with_controls()
    if not plan.suite.budget.trials or options.plan_only:
        return plan
    # Optuna takes a moment to import, and few suites have trials.
    from bench.commands.experiments.tune import tuned

    return plan.with_suite(tuned(replace(plan, store=Store(plan.store.root / "tuning"))))


def _missing(plan: RunPlan, options: RunOptions) -> Sequence[Cell]:
    """Cells to run; prints how many there are, and which records cannot be read."""
    todo, stale = plan.cells, 0
    if not options.fresh and not options.cell:
        todo, stale = plan.store.missing(plan.cells, plan.digests, options.keep_stale, options.retry_failed)
    click.echo(
        f"suite {plan.suite.name}: {counted(len(plan.cells), 'cell')}, {len(plan.cells) - len(todo)} recorded"
        + (f", {stale} stale ({_others(plan)}; run again)" if stale else "")
        + f", {len(todo)} to run"
    )
    for path, reason in plan.store.unreadable.items():
        click.echo(printable(f"warning: unreadable record {path}: {reason}"), err=True)
    return todo


def _to_run(plan: RunPlan, options: RunOptions) -> Sequence[Cell] | None:
    """Cells to run, as `_missing` prints; None where the images are not here: a plan fetches none."""
    try:
        open_dataset(plan.card, download=False)
    except UserError as error:
        click.echo(printable(f"what is recorded cannot be said without the {plan.card.kind.items}: {error}"))
        return None
    return _missing(plan, options)


def _until_converged(
    plan: RunPlan, ran: Sequence[Cell], options: RunOptions
) -> tuple[RunPlan, Sequence[Cell]]:
    """Run cells that are to converge, and have not, with twice the steps, until they do or have the most.

    Returns the plan with the longest cell of each in place of the first, and all cells that have run. What
    was run before says the same again, so the same command goes on.
    """
    done = [*ran]
    while True:
        cells = [longer(cell, plan.store.latest(cell.key)) or cell for cell in plan.cells]
        fresh = [cell for cell, before in zip(cells, plan.cells, strict=True) if cell != before]
        if not fresh:
            return plan, done
        click.echo(f"not converged: {counted(len(fresh), 'cell')}, asked again with twice the steps")
        plan = replace(plan, cells=cells)
        todo: Sequence[Cell] = fresh
        if not options.fresh:
            todo, _ = plan.store.missing(fresh, plan.digests, options.keep_stale, options.retry_failed)
        if todo:
            run_cells(plan, todo)
        done += todo


def _run_lost(plan: RunPlan) -> None:
    """Run cells whose records have gone away while others ran, as into quarantine; once."""
    lost, _ = plan.store.missing(plan.cells, plan.digests, keep_stale=True)
    if lost:
        click.echo(f"{len(lost)} records have gone away meanwhile: their cells are run again")
        run_cells(plan, lost)


def _recorded(options: RunOptions) -> tuple[RunPlan, str]:
    """Plan of one cell of an earlier record, as a suite of its own, and the digest of its images then."""
    key = str(options.cell)
    folders = [*sorted(RESULTS.glob("*")), *(BASELINES / name for name in names())]
    for folder in [Path(options.results)] if options.results else folders:
        store = Store(folder)
        record = store.read(key)
        if record is None:
            continue
        cell = record.request.cell
        _check_own_images(cell)
        asked = cell.scenario
        rounds = asked.federation.model_dump() if asked.federation else {}
        scenario = ScenarioTable(
            kind=asked.kind,
            targets=[asked.target],
            shots=[asked.shots],
            target_classes=len(asked.target_classes) - len(asked.absent) if asked.absent else "all",
            unknown=len(asked.unknown) or None,
            **rounds,
        )
        suite = Suite(
            name=record.request.suite,
            description=f"cell {key}",
            dataset=cell.scenario.dataset,
            backbones=[cell.backbone],
            methods=[cell.method],
            scenarios=[scenario],
        )
        into = Store(RESULTS / suite.name) if store.read_only else store
        plan = RunPlan(suite, load_card(suite.dataset), [cell], into, options.execution)
        return plan, record.digests.dataset
    where = options.results or f"{RESULTS}/*"
    raise UserError(f"no record of cell '{key}' in {where}: name its folder with --results")


def _check_own_images(cell: Cell) -> None:
    """Refuse a cell on somebody's own images where `--data` does not name them."""
    name, own = cell.scenario.dataset, own_data()
    if not packaged(name) and (own is None or own_name(own) != name):
        raise UserError(
            f"cell '{cell.key}' is of own {MODALITIES[cell.modality].items} called '{name}': "
            "name their folder with --data FOLDER"
            + (f" ('{own}' is called '{own_name(own)}')" if own else "")
        )


def _others(plan: RunPlan) -> str:
    """Name what is other now than in the records that are stale; empty where none is."""
    stale = plan.store.stale(plan.cells, plan.digests)
    counts = Counter(name for differences in stale.values() for name in differences)
    return ", ".join(
        f"other {name}" + (f" in {count}" if count < len(stale) else "") for name, count in counts.items()
    )


def _conclude(plan: RunPlan, ran: Sequence[Cell], keep_stale: bool) -> int:
    """Build the report, print the table and the list of failures.

    Returns the exit code: 0 if every record can be read and is of today's code and data.
    """
    from rich.console import Console

    from bench.commands.results.report import SOURCE_ALONE, build
    from bench.report.render.terminal import terminal_table
    from bench.report.scores.frame import load_frame

    frame = load_frame(plan.store, plan.cells, per_image=False)
    Console().print(terminal_table(frame, plan.suite.baseline, SOURCE_ALONE))
    click.echo(f"report: {build(str(plan.store.root))}")
    rows = zip(plan.cells, frame["status"], frame["reason"], strict=True)
    faults = [row for row in rows if row[1] in ("failed", "unreadable", "missing")]
    for cell, status, reason in faults:
        click.echo(printable(f"{status}: {cell.title}: {reason} ({cell.key})"), err=True)
    if any(status == "unreadable" for _, status, _ in faults):
        click.echo(f"see: python -m bench results verify {plan.store.root}", err=True)
    attempts = [record for cell in ran if (record := plan.store.versions.attempt(cell.key))]
    for record in attempts:
        line = f"{record.outcome.status}: {record.request.cell.title}: {record.outcome.reason} ({record.key})"
        click.echo(printable(f"{line}; its earlier record stays"), err=True)
    stale = "" if keep_stale else _others(plan)
    if stale:
        # As where one failed anew, or was restored or merged meanwhile.
        click.echo(f"stale records are left ({stale}): the same command runs them again", err=True)
    return 1 if faults or stale or attempts else 0
