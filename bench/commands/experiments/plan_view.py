"""`bench run --plan`: the cells, the artifacts that they share, and the time that sharing saves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache

import click

from bench.commands.experiments.cost_model import CostModel, MethodTraits, cheapest_first, count_artifacts
from bench.commands.experiments.feasibility import shortages
from bench.commands.experiments.run_plan import RunPlan
from bench.commands.progress import duration
from bench.core.errors import UserError
from bench.core.text import counted, printable
from bench.records.baselines import BASELINES, names
from bench.records.record import Record
from bench.records.store import Store
from bench.spec.cell import Cell, Value

WORDS = {
    "stages": "source stages",
    "features": "sets of frozen features",
    "views": "sets of augmented frozen features",
}


def show(plan: RunPlan, todo: Sequence[Cell] | None, nodes: int | None = None) -> None:
    """Print every cell, what they share, and how long they would take on a number of nodes.

    `todo` are those that are to be run; None where that cannot be said.
    """
    from bench.networks.backbones.create import check_backbone, check_image_size

    suite, cells = plan.suite, plan.cells
    click.echo(printable(f"{plan.card.name}: {' '.join(plan.card.description.split())}"))
    # What cells share depends on the networks' form, so their names must be right.
    for name in suite.backbones:
        check_backbone(name)
        try:
            check_image_size(name, suite.image_size)
        except UserError as error:
            click.echo(printable(f"will fail: {error}"))
    for cell in cells:
        click.echo(printable(f"{cell.key}  {cell.title}"))
    click.echo(f"{counted(len(cells), 'cell')}: {_by_method(cells)}")
    if controls := [cell for cell in cells if cell.control_of]:
        click.echo(f"controls among them: {len(controls)} ({_by_method(controls)})")
    if todo:
        click.echo(f"to run: {_by_method(todo)}")
        for line, count in shortages(plan, todo).items():
            click.echo(printable(f"will be skipped: {line} ({counted(count, 'cell')})"))
    if suite.budget.trials:
        click.echo(f"before them, {suite.budget.trials} tuning trials of each method decide hyperparameters")

    @cache
    def traits_of(method: str) -> MethodTraits:
        return method_traits(method, suite.set.get(method, {}), suite.backbones[0])

    for phase, (uses, distinct) in count_artifacts(cells, traits_of).items():
        if uses:
            click.echo(f"{WORDS[phase]}: cells ask for {uses}, {distinct} are different and made once")
    model = CostModel.fit(recorded(plan), traits_of)
    estimate = model.estimate(cells)
    if estimate is None:
        click.echo("no cell of these methods is recorded yet: nothing to tell the time from")
        return
    unknown = ", ".join(estimate.unknown)
    click.echo(
        f"{duration(estimate.shared)} with sharing, {duration(estimate.alone)} without "
        f"({estimate.saving:.0%} saved), going by {counted(estimate.from_cells, 'recorded cell')}"
        + (f"; not counted: what no record of {unknown} tells of" if unknown else "")
    )
    if nodes:
        schedule = model.schedule(cheapest_first(cells), nodes)
        click.echo(
            f"on {counted(nodes, 'node')} with a cell at once each: {duration(schedule.makespan)}, of which "
            f"{duration(schedule.critical_path)} cannot be shortened by more nodes; "
            f"they work {schedule.utilisation:.0%} of the time"
        )


def _by_method(cells: Sequence[Cell]) -> str:
    return ", ".join(f"{n} {method}" for method, n in Counter(cell.method for cell in cells).items())


def recorded(plan: RunPlan) -> Iterator[Record]:
    """Iterate over the records of the plan's results folder, or else of its suite's baseline."""
    store = plan.store
    if store.empty and plan.suite.name in names():
        store = Store(BASELINES / plan.suite.name)
    return store.records()


def method_traits(name: str, overrides: dict[str, Value], backbone: str) -> MethodTraits:
    """Traits of a method, configured with overrides, on a backbone."""
    from bench.method.batch import Access
    from bench.method.registry import configure
    from bench.networks.backbones.create import create_backbone
    from bench.networks.backbones.weights import untrained

    method = configure(name, overrides)
    first = configure(method.starts_from, {}) if method.starts_from else method
    return MethodTraits(
        sees_target=Access.TARGET_IMAGES in first.access,
        starts_from=method.starts_from,
        has_source_stage=Access.SOURCE_LABELS in method.access,
        # Where a network is cut depends on its form alone: its weights need not be at hand.
        split_point=first.split_point(create_backbone(untrained(backbone))),
        views=first.views,
        trains=lambda stage: (first if stage.shared else method).trains(stage.name),
        pretrained=first.pretrained,
    )
