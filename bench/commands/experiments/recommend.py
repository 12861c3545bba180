"""`bench recommend`: methods by budget, from existing records or those that successive halving adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.commands.experiments.execution import outcomes, prepared, present
from bench.commands.experiments.halving import halve, matched_cells
from bench.commands.experiments.run_plan import ExecutionOptions, RunPlan
from bench.commands.options import SuiteOptions
from bench.core.errors import UserError
from bench.core.text import counted
from bench.records.convergence import longest_run
from bench.report.render.markdown import equal_table
from bench.report.scores.frame import load_frame
from bench.report.tables import formats
from bench.report.tables.leaderboard import blocks
from bench.report.tables.recommend import Advice, advise
from bench.spec.cell import Cell

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
    device: str
    results: str | None


def recommend(options: RecommendOptions) -> int:
    """Print what the records recommend; returns the exit code."""
    plan = RunPlan.resolve(options.selection, options.results, ExecutionOptions(options.device))
    plan = _with_shots(plan, options.shots)
    if options.run:
        with prepared(plan.store):
            _run(plan)
    cells = [longest_run(cell, plan.store) for cell in plan.cells]
    # Without a run nobody asks what is there of today: it takes the images.
    frame = present(plan, cells) if options.run else load_frame(plan.store, cells, per_image=False)
    recommendations = [
        advice for block in blocks(frame) if (advice := advise(frame, block, options.max_seconds))
    ]
    if not recommendations:
        raise UserError(
            f"no cell of suite '{plan.suite.name}' is done in '{plan.store.root}': "
            "add --run, or run the suite first"
        )
    for advice in recommendations:
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


def _run(plan: RunPlan) -> None:
    """Run successive halving over methods, apart for each kind and number of shots.

    Methods are dropped by target validation images, so that the test images that the advice is about had no
    part in the choice.
    """

    def score(cell: Cell) -> float | None:
        (record,) = outcomes(plan, [cell])
        last = record.evaluations[-1] if record and record.evaluations else None
        return last.score("target-validation") if last else None

    plain = [cell for cell in plan.cells if not cell.scenario.episodes]
    if len(plain) < len(plan.cells):
        click.echo("episodes have no validation images to drop methods by: they are left out")
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in plain:
        groups.setdefault((cell.scenario.kind, str(cell.scenario.shots)), []).append(cell)
    for (kind, shots), cells in groups.items():
        click.echo(f"{kind}, {'1 shot' if shots == '1' else f'{shots} shots'}")
        halve(matched_cells(cells), score, lambda text: click.echo(f"  {text}"))


def _print(advice: Advice, max_seconds: float | None) -> None:
    console = Console()
    console.print(Text(f"{advice.block.title} ({counted(advice.cells, 'shared cell')})", style="bold"))
    if advice.too_dear:
        click.echo(f"over {max_seconds:g} s a cell: {', '.join(advice.too_dear)}")
    if not advice.candidates:
        click.echo("no method is within these seconds\n")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("method", "accuracy", "95 %", "seconds", "best in", "separable"):
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
    text = f"use {best.method}: the highest accuracy in {100 * best.chance:.0f} % of resamples of test images"
    if cheap is not best:
        share = cheap.seconds / best.seconds
        text += f"; {cheap.method} is not separable from it and takes {100 * share:.0f} % of its seconds"
    click.echo(text + "\n")
