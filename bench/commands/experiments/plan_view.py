"""`bench run --plan`: the cells, what they share, and what that saves."""

from __future__ import annotations

from collections import Counter

import click

from bench.commands.experiments.forecast import Needs, distinct, estimate, foresee, prices
from bench.commands.progress import duration
from bench.core.text import printable
from bench.records.baselines import BASELINES, names
from bench.records.record import Record
from bench.records.store import Store
from bench.spec.cell import Cell, Value
from bench.spec.matrix.suite import Suite

WORDS = {"stages": "source stages", "features": "sets of frozen features"}


def show(suite: Suite, cells: list[Cell], store: Store, nodes: int | None = None) -> None:
    """Print every cell, what they share, and how long they would take on a number of nodes."""
    # What cells share depends on the networks' form, so their names must be right.
    from bench.networks.backbones import check_backbone

    for name in suite.backbones:
        check_backbone(name)
    for cell in cells:
        click.echo(printable(f"{cell.key}  {cell.title}"))
    counts = Counter(cell.method for cell in cells)
    click.echo(f"{len(cells)} cells: " + ", ".join(f"{n} {method}" for method, n in counts.items()))
    if suite.budget.trials:
        click.echo(f"before them, {suite.budget.trials} tuning trials of each method decide hyperparameters")
    backbone = suite.backbones[0]

    known: dict[str, Needs] = {}

    def needs(method: str) -> Needs:
        if method not in known:
            known[method] = needs_of(method, suite.set.get(method, {}), backbone)
        return known[method]

    for phase, (asked, different) in distinct(cells, needs).items():
        if asked:
            click.echo(f"{WORDS[phase]}: cells ask for {asked}, {different} are different and made once")
    known_prices = prices(needs, _recorded(suite, store))
    found = estimate(cells, needs, known_prices)
    if found is None:
        click.echo("no cell of these methods is recorded yet: nothing to tell the time from")
        return
    unknown = ", ".join(found.unknown)
    click.echo(
        f"{duration(found.shared)} with sharing, {duration(found.alone)} without "
        f"({found.saving:.0%} saved), going by {found.from_cells} recorded cells"
        + (f"; not counted: what no record of {unknown} tells of" if unknown else "")
    )
    if nodes:
        schedule = foresee(cells, needs, known_prices, nodes)
        click.echo(
            f"on {nodes} nodes with a cell at once each: {duration(schedule.makespan)}, of which "
            f"{duration(schedule.critical_path)} cannot be shortened by more nodes; "
            f"they work {schedule.utilisation:.0%} of the time"
        )


def _recorded(suite: Suite, store: Store) -> list[Record]:
    """Records of this suite: those at hand, else those of its baseline."""
    mine = list(store.records())
    if not mine and suite.name in names():
        mine = list(Store(BASELINES / suite.name).records())
    return mine


def needs_of(name: str, overrides: dict[str, Value], backbone: str) -> Needs:
    """What a method, so configured, shares on a backbone."""
    from bench.method.batch import Access
    from bench.method.registry import configure
    from bench.networks.backbones import create_backbone, untrained

    method = configure(name, overrides)
    return Needs(
        sees_target=Access.TARGET_IMAGES in method.access,
        has_source_stage=Access.SOURCE_LABELS in method.access,
        # Where a network is cut depends on its form alone: its weights need not be at hand.
        split_point=method.split_point(create_backbone(untrained(backbone))),
        views=method.views,
        pretrained=method.pretrained,
    )
