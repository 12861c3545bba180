"""A suite as an ordered list of cells, and what those share. Pure: no torch, no disk but the cards."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Protocol

from bench.core.errors import UserError, check_name
from bench.spec.cell import Cell, Scenario
from bench.spec.matrix.suite import ScenarioTable, Suite
from bench.spec.scenarios import KINDS

MOST = 1_000_000
"""Most cells of a plan: more would take the memory before they could take the time."""


class Card(Protocol):
    """Part of a dataset's card (`bench.data.card.Card`) that a plan needs."""

    @property
    def name(self) -> str:
        """Name of the dataset."""

    @property
    def domains(self) -> list[str]:
        """Names of its domains."""

    @property
    def usual_domains(self) -> list[str]:
        """Domains of a suite that names none."""

    @property
    def classes(self) -> list[str]:
        """Names of its classes."""

    def task_split(self, classes: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Disjoint (source, target) halves of some classes."""


def family(cell: Cell) -> tuple[str, ...]:
    """Cells of a family are likely to share a source stage, which one of them trains."""
    return cell.method, cell.backbone, str(cell.seed), str(cell.scenario.source)


def plan(suite: Suite, card: Card) -> list[Cell]:
    """Every cell of the suite, ordered so that cells which share a source stage follow each other.

    Raises:
        UserError: unknown domain or class, an empty matrix, or one beyond all measure.
    """
    axes = [values for _, values in suite.settings if values]
    each = prod(map(len, (suite.methods, suite.backbones, suite.seeds, suite.budgets, *axes)))
    count = each * sum(_count(suite, table, card) for table in suite.scenarios)
    if count > MOST:
        raise UserError(
            f"suite '{suite.name}' asks for {count:,} cells: {MOST:,} at most, so cut it in parts"
        )
    cells = {
        cell.key: cell
        for table in suite.scenarios
        for scenario in scenarios(suite, table, card)
        for method, backbone, seed, budget in product(
            suite.methods, suite.backbones, suite.seeds, suite.budgets
        )
        for setting, change in suite.settings.combinations()
        for cell in [
            Cell(
                scenario=scenario,
                method=method,
                overrides=suite.set.get(method, {}),
                backbone=backbone,
                image_size=suite.image_size,
                augment=suite.augment,
                budget=budget.model_copy(update={"batch_size": change.batch_size or budget.batch_size}),
                seed=seed,
                precision=change.precision or suite.precision,
                transductive=suite.transductive,
                headline=suite.headline,
                setting=setting,
            )
        ]
    }
    if not cells:
        raise UserError(
            f"suite '{suite.name}' asks for no cell: no scenario is left with these sources and targets"
        )
    methods = {name: place for place, name in enumerate(suite.methods)}
    return sorted(
        cells.values(),
        key=lambda cell: (
            cell.backbone,
            cell.seed,
            methods[cell.method],
            cell.scenario.source or "",
            cell.scenario.target,
            cell.budget.steps,
            str(cell.scenario.shots),
            cell.scenario.episodes is not None,
        ),
    )


def _count(suite: Suite, table: ScenarioTable, card: Card) -> int:
    """Most scenarios of a table, without making them."""
    domains = suite.domains or card.usual_domains
    sides = [table.targets, *([table.sources] if KINDS[table.kind].takes_sources else [])]
    return prod(len(domains if side == "all" else side) for side in sides) * len(table.shots)


def scenarios(suite: Suite, table: ScenarioTable, card: Card) -> list[Scenario]:
    """The scenarios of one table, over the suite's domains."""
    domains = suite.domains or card.usual_domains
    sources = _domains(card, domains, table.sources)
    targets = _domains(card, domains, table.targets)
    classes = choose_classes(suite, card)
    old, new = card.task_split(classes)
    kind = KINDS[table.kind]
    new_only = kind.halves_classes or table.target_classes == "new"
    if new_only and min(len(old), len(new)) < 2:
        raise UserError(
            f"suite '{suite.name}': kind '{table.kind}' halves the classes, "
            f"and {len(classes)} are too few: use 4 or more"
        )
    goal = new if new_only else classes
    if table.episodes and table.episodes.way > len(goal):
        raise UserError(
            f"suite '{suite.name}': {table.episodes.way}-way episodes, but kind '{table.kind}' has "
            f"{len(goal)} target classes: use a smaller 'way'"
        )
    return [
        Scenario(
            kind=table.kind,
            dataset=card.name,
            source=source,
            source_classes=() if source is None else old if kind.halves_classes else classes,
            target=target,
            target_classes=goal,
            shots=shots,
            episodes=table.episodes,
        )
        for source, target in kind.pairs(sources, targets)
        for shots in table.shots
    ]


def choose_classes(suite: Suite, card: Card) -> tuple[str, ...]:
    """The classes a suite is about: named, the first few of the card, or all."""
    if suite.classes is None:
        return tuple(card.classes)
    if isinstance(suite.classes, int):
        if not 2 <= suite.classes <= len(card.classes):
            raise UserError(
                f"suite '{suite.name}': classes = {suite.classes}, "
                f"but '{card.name}' has 2 to {len(card.classes)} to choose from"
            )
        return tuple(card.classes[: suite.classes])
    for name in suite.classes:
        check_name(f"class of {card.name}", name, card.classes)
    if len(set(suite.classes)) < 2:
        raise UserError(f"suite '{suite.name}': name at least two classes")
    return tuple(dict.fromkeys(suite.classes))


def _domains(card: Card, default: list[str], wanted: list[str] | str) -> list[str]:
    names = default if isinstance(wanted, str) else wanted
    for name in names:
        check_name(f"domain of {card.name}", name, card.domains)
    return list(dict.fromkeys(names))
