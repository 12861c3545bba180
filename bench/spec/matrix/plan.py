"""A suite as an ordered list of cells, and what those share. Pure: no torch, no disk but the cards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any, NamedTuple, Protocol

from bench.core.errors import UserError, check_name
from bench.core.modalities import MODALITIES
from bench.spec.cell import Budget, Cell, Control, Domains, Scenario, Value, domain_names
from bench.spec.matrix.suite import CellChange, ScenarioTable, Suite
from bench.spec.scenarios import KINDS
from bench.spec.scenarios.parts import PartsKind

MOST = 1_000_000
"""Most cells of a plan: more would take the memory before they could take the time."""


class Card(Protocol):
    """Part of a dataset's card (`bench.data.card.Card`) that a plan needs."""

    @property
    def name(self) -> str:
        """Name of the dataset."""

    @property
    def modality(self) -> str:
        """Modality of its items."""

    @property
    def metric(self) -> str:
        """Metric that its results are judged by."""

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


class Variant(NamedTuple):
    """Method with hyperparameters, and the methods that it is run for as their control alone."""

    method: str
    overrides: dict[str, Value]
    control_of: tuple[str, ...] = ()


def plan(suite: Suite, card: Card, controls: Mapping[str, Control] | None = None) -> list[Cell]:
    """Every cell of the suite, ordered so that cells which share a source stage follow each other.

    `controls`: of methods, by name; those that are no methods of the suite with the same hyperparameters
    have cells beside them.

    Raises:
        UserError: unknown domain or class, a size or an augmentation of other items, an empty matrix, or one
            beyond all measure.
    """
    MODALITIES[card.modality].check(suite.image_size, suite.augment)
    variants = _variants(suite, controls or {})
    axes = [values for _, values in suite.settings if values]
    each = prod(map(len, (variants, suite.backbones, suite.seeds, suite.budgets, *axes)))
    count = each * sum(_count(suite, table, card) for table in suite.scenarios)
    if count > MOST:
        raise UserError(
            f"suite '{suite.name}' asks for {count:,} cells: {MOST:,} at most, so cut it in parts"
        )
    cells = {
        cell.key: cell
        for table in suite.scenarios
        for scenario in scenarios(suite, table, card)
        for variant, backbone, seed, budget in product(variants, suite.backbones, suite.seeds, suite.budgets)
        for setting, change in suite.settings.combinations()
        for cell in [
            Cell(
                scenario=scenario,
                **variant._asdict(),
                backbone=backbone,
                modality=card.modality,
                metric=card.metric,
                image_size=suite.image_size,
                augment=suite.augment,
                budget=_changed(budget, change),
                seed=seed,
                precision=change.precision or suite.precision,
                recipe=suite.recipe,
                transductive=suite.transductive,
                unsplit=suite.unsplit,
                headline=suite.headline,
                setting=setting,
            )
        ]
    }
    if not cells:
        raise UserError(
            f"suite '{suite.name}' asks for no cell: no scenario is left with these sources and targets"
        )
    return sorted(cells.values(), key=_order(variants))


def _changed(budget: Budget, change: CellChange) -> Budget:
    """The budget with a setting's batch size, if it has one."""
    return budget.model_copy(update={"batch_size": change.batch_size}) if change.batch_size else budget


def _order(variants: Sequence[Variant]) -> Callable[[Cell], tuple[Any, ...]]:
    """Place of a cell in the plan."""
    places = {(variant.method, variant.control_of): place for place, variant in enumerate(variants)}
    return lambda cell: (
        cell.backbone,
        cell.seed,
        places[cell.method, cell.control_of],
        cell.scenario.source_name or "",
        cell.scenario.target,
        cell.budget.steps,
        str(cell.scenario.shots),
        cell.scenario.episodes is not None,
    )


def _variants(suite: Suite, controls: Mapping[str, Control]) -> list[Variant]:
    """Methods of the suite, each followed by the control that is run for it, if it needs one of its own."""
    own = {name: Variant(name, suite.set.get(name, {})) for name in suite.methods}
    found: list[Variant] = []
    for name, variant in own.items():
        found.append(variant)
        match controls.get(name):
            case dict(changes) if (changed := {**variant.overrides, **changes}) != variant.overrides:
                found.append(Variant(name, changed, (name,)))
            case str(other) if other not in own:
                served = tuple(method for method in own if controls.get(method) == other)
                if served[0] == name:
                    found.append(Variant(other, suite.set.get(other, {}), served))
    return found


def _count(suite: Suite, table: ScenarioTable, card: Card) -> int:
    """Most scenarios of a table, without making them."""
    domains = suite.domains or card.usual_domains
    if isinstance(table.orders, list):
        return len(table.orders) * len(table.shots)
    sides = [table.targets, *([table.sources] if KINDS[table.kind].takes_sources else [])]
    return prod(len(domains if side == "all" else side) for side in sides) * len(table.shots)


def scenarios(suite: Suite, table: ScenarioTable, card: Card) -> list[Scenario]:
    """The scenarios of one table, over the suite's domains."""
    domains = suite.domains or card.usual_domains
    sources = _domains(card, domains, table.sources)
    targets = [name for side in _domains(card, domains, table.targets) for name in domain_names(side)]
    classes = choose_classes(suite, card)
    old, new = card.task_split(classes)
    kind = KINDS[table.kind]
    new_only = kind.halves_classes or table.target_classes == "new"
    if new_only and min(len(old), len(new)) < 2:
        raise UserError(
            f"suite '{suite.name}': kind '{table.kind}' halves the classes, "
            f"and {len(classes)} are too few: use 4 or more"
        )
    classes, absent, unknown = _shares(suite, table, classes)
    goal = new if new_only else classes
    if table.episodes and table.episodes.way > len(goal):
        raise UserError(
            f"suite '{suite.name}': {table.episodes.way}-way episodes, but kind '{table.kind}' has "
            f"{len(goal)} target classes: use a smaller 'way'"
        )
    if isinstance(kind, PartsKind):
        return _in_parts(kind, suite, table, card)
    try:
        pairs = kind.pairs(sources, targets)
    except ValueError as error:
        raise UserError(f"suite '{suite.name}': kind '{table.kind}' {error}") from None
    return [
        Scenario(
            kind=table.kind,
            dataset=card.name,
            source=source,
            source_classes=() if source is None else old if kind.halves_classes else classes,
            target=target,
            target_classes=goal,
            shots=shots,
            absent=absent,
            unknown=unknown,
            episodes=table.episodes,
            stream=table.stream,
        )
        for source, target in pairs
        for shots in table.shots
    ]


def _shares(
    suite: Suite, table: ScenarioTable, classes: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Classes of the source, those of them that the target lacks, and those that it has beside them."""
    if isinstance(count := table.target_classes, int):
        if count >= len(classes):
            raise UserError(
                f"suite '{suite.name}': target_classes = {count} of the source's {len(classes)}: use fewer"
            )
        return classes, classes[count:], ()
    if table.unknown:
        if table.unknown > len(classes) - 2:
            raise UserError(
                f"suite '{suite.name}': unknown = {table.unknown} of {len(classes)} classes leave the source "
                "less than two: use fewer"
            )
        return classes[: -table.unknown], (), classes[-table.unknown :]
    return classes, (), ()


def _in_parts(kind: PartsKind, suite: Suite, table: ScenarioTable, card: Card) -> list[Scenario]:
    """The scenarios of a table whose targets have parts."""
    wanted: list[str] | str = table.targets
    if isinstance(table.orders, list) and wanted == "all":
        wanted = [name for order in table.orders for name in order]
    sides = _domains(card, suite.domains or card.usual_domains, wanted)
    targets = [name for side in sides for name in domain_names(side)]
    classes = choose_classes(suite, card)
    try:
        found = kind.arrangements(table, targets, classes)
        if table.federation and suite.budget.batch_size < 2 * len(targets):
            raise ValueError(
                f"shares each batch of {suite.budget.batch_size} among {len(targets)} clients: "
                f"use a batch_size of {2 * len(targets)} or more"
            )
    except ValueError as error:
        raise UserError(f"suite '{suite.name}': kind '{table.kind}' {error}") from None
    return [
        Scenario(
            kind=table.kind,
            dataset=card.name,
            target=target,
            target_classes=classes,
            shots=shots,
            parts=parts,
            federation=table.federation,
        )
        for target, parts in found
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


def _domains(card: Card, default: list[str], wanted: Sequence[Domains] | str) -> list[Domains]:
    sides = default if isinstance(wanted, str) else wanted
    for side in sides:
        for name in domain_names(side):
            check_name(f"domain of {card.name}", name, card.domains)
    return list(dict.fromkeys(sides))
