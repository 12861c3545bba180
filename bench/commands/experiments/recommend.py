"""`bench recommend`: which method for which budget, from the records at hand or those that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.commands.experiments.halving import halve, questions
from bench.commands.experiments.request import narrow
from bench.commands.experiments.session import Means, run_cells, today
from bench.core.errors import UserError
from bench.core.paths import RESULTS
from bench.data.catalog import load_card
from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.tables import formats
from bench.report.tables.leaderboard import blocks
from bench.report.tables.recommend import Advice, advise
from bench.spec.cell import Cell
from bench.spec.plan import plan
from bench.spec.suite import Suite


@dataclass(frozen=True)
class Request:
    """The command line's options."""

    suite: str
    methods: list[str] | None
    shots: str | None
    max_seconds: float | None
    run: bool
    device: str
    results: str | None


def recommend(request: Request) -> int:
    """Print what the records say; returns the exit code."""
    suite = narrow(request.suite, methods=request.methods)
    cells = _wanted(suite, plan(suite, load_card(suite.dataset)), request.shots)
    store = Store(request.results or RESULTS / suite.name)
    if request.run:
        store.prepare()
        _run(suite, cells, store, Means(request.device))
    frame = load_frame(store, cells, per_image=False)
    advice = [found for block in blocks(frame) if (found := advise(frame, block, request.max_seconds))]
    if not advice:
        raise UserError(
            f"no cell of suite '{suite.name}' is done in '{store.root}': add --run, or run the suite first"
        )
    for found in advice:
        _print(found, request.max_seconds)
    missing = int((frame["status"] == "missing").sum())
    if missing:
        click.echo(f"{missing} of {len(cells)} cells are not run: what they would say is not in here")
    return 0


def _wanted(suite: Suite, cells: Sequence[Cell], shots: str | None) -> list[Cell]:
    known = sorted({str(cell.scenario.shots) for cell in cells})
    if shots is not None and shots not in known:
        raise UserError(
            f"suite '{suite.name}' has no cells with {shots} shots: choose from {', '.join(known)}"
        )
    return [cell for cell in cells if shots in (None, str(cell.scenario.shots))]


def _run(suite: Suite, cells: Sequence[Cell], store: Store, means: Means) -> None:
    """Successive halving over methods, apart for each kind and number of shots.

    Methods are dropped by target validation images, so that the test images that the advice is about had no
    part in the choice.
    """
    digests = today(suite)

    def score(cell: Cell) -> float | None:
        todo, _ = store.missing([cell], digests)
        if todo:
            run_cells(todo, suite, means, digests, store)
        record = store.read(cell.key)
        return record.evaluations[-1].target_validation_accuracy if record and record.evaluations else None

    plain = [cell for cell in cells if not cell.scenario.episodes]
    if len(plain) < len(cells):
        click.echo("episodes have no validation images to drop methods by: they are left out")
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in plain:
        groups.setdefault((cell.scenario.kind, str(cell.scenario.shots)), []).append(cell)
    for (kind, shots), mine in groups.items():
        click.echo(f"{kind}, {shots} shots")
        halve(questions(mine), score, lambda text: click.echo(f"  {text}"))


def _print(advice: Advice, max_seconds: float | None) -> None:
    console = Console()
    console.print(
        Text(f"{advice.block.title} ({formats.several(advice.cells, 'shared cell')})", style="bold")
    )
    if advice.too_dear:
        click.echo(f"over {max_seconds:g} s a cell: {', '.join(advice.too_dear)}")
    if not advice.candidates:
        click.echo("no method is within these seconds\n")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("method", "accuracy", "95 %", "seconds", "best in", "separable"):
        table.add_column(name, justify="left" if name == "method" else "right")
    best = advice.candidates[0]
    for row in advice.candidates:
        table.add_row(
            Text(row.method),
            formats.percent(row.accuracy),
            formats.interval(row.interval),
            formats.seconds(row.seconds),
            f"{100 * row.chance:.0f} %",
            "" if row is best else "yes" if row.separable else "no",
        )
    console.print(table)
    cheap = advice.cheapest
    said = f"use {best.method}: the highest accuracy in {100 * best.chance:.0f} % of resamples of test images"
    if cheap is not best:
        share = cheap.seconds / best.seconds
        said += f"; {cheap.method} is not separable from it and takes {100 * share:.0f} % of its seconds"
    click.echo(said + "\n")
