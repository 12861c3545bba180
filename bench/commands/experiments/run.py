"""`bench run`: from a request to records, a table and the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from bench.commands.experiments.request import narrow
from bench.commands.experiments.session import Means, executor_for, run_cells, today
from bench.core.errors import UserError
from bench.core.paths import RESULTS, own_data
from bench.core.text import printable
from bench.data.card import own_name, packaged
from bench.data.catalog import load_card
from bench.processes.garbage import loading
from bench.records.baselines import BASELINES, names
from bench.records.store import Store
from bench.spec.cell import Cell
from bench.spec.plan import plan
from bench.spec.suite import ScenarioTable, Suite


@dataclass(frozen=True)
class Request:
    """The command line's options."""

    suite: str | None
    methods: list[str] | None
    source: str | None
    target: str | None
    backbone: str | None
    seeds: list[str] | None
    means: Means
    sets: tuple[str, ...]
    results: str | None
    plan_only: bool
    simulate: int | None
    """Nodes that the plan is simulated on."""
    fresh: bool
    retry_failed: bool
    keep_stale: bool
    cell: str | None


def run(request: Request) -> int:
    """Carry out a request; returns the exit code: 0 all done, 1 some cell failed."""
    if request.simulate and not request.plan_only:
        raise UserError("--simulate foresees a plan: give --plan too")
    images = ""
    if request.cell:
        suite, cells, store, images = _recorded(request)
    else:
        suite = narrow(
            request.suite,
            methods=request.methods,
            source=request.source,
            target=request.target,
            backbone=request.backbone,
            seeds=request.seeds,
            sets=request.sets,
        )
        store = Store(request.results or RESULTS / suite.name)
        if suite.budget.trials and not request.plan_only:
            suite = _tuned(suite, request.means, store)
        cells = plan(suite, load_card(suite.dataset))
    if request.plan_only:
        with loading():
            from bench.commands.experiments.plan_view import show

        show(suite, cells, store, request.simulate)
        return 0
    store.prepare()
    if store.empty:
        # There will be something to do: a worker loads its libraries while images are listed.
        executor_for(request.means, suite)
    digests = today(suite)
    if images and images != (now := next(iter(digests.values())).dataset):
        click.echo(f"warning: other images than were recorded: their digest is {now}, not {images}", err=True)
    if request.fresh or request.cell:
        todo, stale = cells, 0
    else:
        todo, stale = store.missing(cells, digests, request.keep_stale, request.retry_failed)
    click.echo(
        f"suite {suite.name}: {len(cells)} cells, {len(cells) - len(todo)} recorded"
        + (f", {stale} stale (other code or data; run again)" if stale else "")
        + f", {len(todo)} to run"
    )
    for path, reason in store.unreadable.items():
        click.echo(printable(f"warning: unreadable record {path}: {reason}"), err=True)
    if todo or request.means.device not in ("auto", "cpu"):
        run_cells(todo, suite, request.means, digests, store)
    return _conclude(suite, cells, store)


def _tuned(suite: Suite, means: Means, store: Store) -> Suite:
    """The suite with what its trials find; they are kept beside its records."""
    # Optuna takes a moment to import, and few suites have trials.
    from bench.commands.experiments.tune import tuned

    return tuned(suite, means, Store(store.root / "tuning"))


def _recorded(request: Request) -> tuple[Suite, list[Cell], Store, str]:
    """One cell out of an earlier record, as a suite of its own, and the digest of its images then."""
    key = str(request.cell)
    folders = [*sorted(RESULTS.glob("*")), *(BASELINES / name for name in names())]
    for folder in [Path(request.results)] if request.results else folders:
        store = Store(folder)
        record = store.read(key)
        if record is None:
            continue
        cell = record.request.cell
        _own_images_are_named(cell)
        scenario = ScenarioTable(
            kind=cell.scenario.kind, targets=[cell.scenario.target], shots=[cell.scenario.shots]
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
        return suite, [cell], into, record.digests.dataset
    where = request.results or f"{RESULTS}/*"
    raise UserError(f"no record of cell '{key}' in {where}: name its folder with --results")


def _own_images_are_named(cell: Cell) -> None:
    """Refuse a cell on somebody's own images where `--data` does not name them."""
    name, own = cell.scenario.dataset, own_data()
    if not packaged(name) and (own is None or own_name(own) != name):
        raise UserError(
            f"cell '{cell.key}' is of own images called '{name}': name their folder with --data FOLDER"
            + (f" ('{own}' is called '{own_name(own)}')" if own else "")
        )


def _conclude(suite: Suite, cells: list[Cell], store: Store) -> int:
    """Build the report, print the table and the list of failures."""
    from rich.console import Console

    from bench.commands.results.report import SOURCE_ALONE, build_page
    from bench.report.render.terminal import terminal_table
    from bench.report.scores.frame import load_frame

    frame = load_frame(store, cells, per_image=False)
    Console().print(terminal_table(frame, suite.baseline, SOURCE_ALONE))
    click.echo(f"report: {build_page(store, suite, cells)}")
    rows = zip(cells, frame["status"], frame["reason"], strict=True)
    failed = [(cell, reason) for cell, status, reason in rows if status == "failed"]
    for cell, reason in failed:
        click.echo(printable(f"failed: {cell.title}: {reason} ({cell.key})"), err=True)
    return 1 if failed else 0
