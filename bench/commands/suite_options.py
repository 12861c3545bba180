"""Selection of a suite by name, with the command line's filters and replacements; checks every name."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

import click
from pydantic import ValidationError

from bench.commands.options import SuiteOptions, list_parts, whole_number
from bench.core.errors import UserError, check_name
from bench.core.modalities import MODALITIES, Modality
from bench.core.paths import own_data
from bench.core.text import printable
from bench.data.card import Card, own_name
from bench.data.catalog import load_card
from bench.method.registry import explicit, method_modules, preset, select_methods
from bench.networks.backbones.own_weights import resolve
from bench.spec.cell import Shots, Value, domain_names
from bench.spec.matrix.suite import ScenarioTable, Suite, load_suite
from bench.spec.scenarios import KINDS
from bench.spec.toml import check_size, describe

OWN = {
    "image": ("own-images", "own-tasks"),
    "text": ("own-texts", "own-texts-alone"),
    "audio": ("own-recordings", "own-recordings"),
    "table": ("own-rows", "own-rows-alone"),
    "sequence": ("own-sequences", "own-sequences-alone"),
}
"""Default suites for one's own items by modality: of several domains, and of one."""


def own_kind(suite: str) -> Modality:
    """Modality of one's own items that a suite without a dataset asks for."""
    return MODALITIES[next((modality for modality, suites in OWN.items() if suite in suites), "image")]


def select_suite(options: SuiteOptions) -> Suite:
    """Load the selected suite, filtered and changed as the options say: as if its file had been edited.

    Raises:
        UserError: an unknown name, with a suggestion, or a value of the wrong form or out of range.
    """
    suite = _load(options.suite)
    change: dict[str, Any] = _methods(suite, options)
    change["backbones"] = [resolve(name) for name in options.backbone or suite.backbones]
    if options.seeds:
        change["seeds"] = [_seed(text) for text in options.seeds]
    if options.image_size:
        change["image_size"] = options.image_size
    if options.steps:
        change |= {"budget": suite.budget.model_copy(update={"steps": options.steps}), "steps": []}
    if options.controls is not None:
        change["controls"] = options.controls
    change["scenarios"] = _scenarios(suite, options)
    try:
        # What is copied is not checked: steps may be too few for the evaluations.
        return Suite.model_validate(suite.model_copy(update=change).model_dump())
    except ValidationError as error:
        raise UserError(f"suite '{suite.name}' with these options: {describe(error, Suite)}") from None


def _methods(suite: Suite, options: SuiteOptions) -> dict[str, Any]:
    """Methods and hyperparameters of the suite with those of the options."""
    methods = select_methods(suite.methods)
    check_name("method as baseline", suite.baseline, method_modules())
    for method in suite.set:
        check_name("method in [set]", method, methods)
    if options.methods:
        methods = select_methods(options.methods)
    overrides = {
        method: values
        for method in methods
        if (values := {**preset(method, suite.preset), **suite.set.get(method, {})})
    }
    for text in options.sets:
        method, parameter, value = parse_set(text)
        check_name("method in --set", method, methods)
        overrides.setdefault(method, {})[parameter] = value
    return {
        "methods": methods,
        "set": {method: explicit(method, values, suite.recipe) for method, values in overrides.items()},
    }


def _load(name: str | None) -> Suite:
    """Load the suite of that name, over one's own items where `--data` names some."""
    own = own_data()
    if own is None:
        if name is None:
            raise UserError(
                "say which suite: --suite NAME (bench list suites), or your own items: --data FOLDER"
            )
        suite = load_suite(name)
        if not suite.dataset:
            raise UserError(
                f"suite '{name}' is for one's own {own_kind(name).items}: say which with --data FOLDER"
            )
        return suite
    card = load_card(own_name(own))
    if card.modality != "image":
        line = f"{own.name}: read as {card.kind.items} (--modality NAME reads it otherwise)"
        click.echo(printable(line), err=True)
    suite = load_suite(name or OWN[card.modality][len(card.domains) == 1])
    change: dict[str, Any] = {"name": f"{suite.name}-{card.name}", "dataset": card.name}
    if card.columns:
        change["image_size"] = len(card.columns)
    if suite.dataset not in ("", card.name) and not _is_about(suite, card):
        # Names of another dataset's domains and classes say nothing about these items.
        click.echo(
            printable(
                f"suite '{suite.name}' names domains or classes of {suite.dataset}: all of {card.name} are "
                "taken instead, but for what --source and --target say"
            ),
            err=True,
        )
        count = suite.classes if isinstance(suite.classes, int) else None
        change["domains"] = None
        change["classes"] = min(count, len(card.classes)) if count else None
        change["scenarios"] = [
            table.model_copy(update={"sources": "all", "targets": "all", "orders": table.count})
            for table in suite.scenarios
        ]
    return suite.model_copy(update=change)


def _is_about(suite: Suite, card: Card) -> bool:
    """Return True if the domains and classes that a suite names are a card's."""
    sides = [suite.domains, *(side for table in suite.scenarios for side in (table.sources, table.targets))]
    sides += [order for table in suite.scenarios for order in table.named_orders]
    named = [one for side in sides if isinstance(side, list) for one in side]
    domains = {name for one in named for name in domain_names(one)}
    if isinstance(suite.classes, int):
        return domains <= {*card.domains} and suite.classes <= len(card.classes)
    return domains <= {*card.domains} and {*(suite.classes or [])} <= {*card.classes}


def _scenarios(suite: Suite, options: SuiteOptions) -> list[ScenarioTable]:
    """Tables of the suite, with the options' sources, targets and shots as far as each can have them."""
    card = load_card(suite.dataset)
    source, target = (
        _domains(card, f"--{side}", names)
        for side, names in (("source", options.source), ("target", options.target))
    )
    if source and target and len({*source, *target}) == 1:
        raise UserError(f"source and target are both '{source[0]}': choose two domains")
    if source and not any(KINDS[table.kind].takes_sources for table in suite.scenarios):
        raise UserError(f"suite '{suite.name}' has no scenario with a source domain: leave out --source")
    tables = [_narrowed(table, source, target) for table in suite.scenarios]
    return _with_shots(suite, tables, [_shots(text) for text in options.shots]) if options.shots else tables


def _domains(card: Card, option: str, names: Sequence[str]) -> list[str]:
    """Domains that an option names."""
    domains = list_parts(option, names, card.domains) if names else []
    for name in domains:
        card.check_domain(name)
    return domains


def _narrowed(table: ScenarioTable, source: list[str], target: list[str]) -> ScenarioTable:
    """Reduce a table to some sources, where it has sources, and some targets."""
    change = {"targets": target} if target else {}
    if source and KINDS[table.kind].takes_sources:
        change["sources"] = source
    return table.model_copy(update=change)


def _with_shots(suite: Suite, tables: list[ScenarioTable], shots: list[Shots]) -> list[ScenarioTable]:
    """Give each table those of the shots that its kind can have.

    Raises:
        UserError: no table can have some of them.
    """
    able: list[list[Shots]] = [[] for _ in tables]
    for number in shots:
        reason = ""
        for place, table in enumerate(tables):
            try:
                ScenarioTable.model_validate({**table.model_dump(), "shots": [number]})
                able[place].append(number)
            except ValidationError as error:
                reason = describe(error, ScenarioTable)
        if not any(number in own for own in able):
            raise UserError(f"--shots {number}: no scenario of suite '{suite.name}' can have them: {reason}")
    found = zip(tables, able, strict=True)
    return [table.model_copy(update={"shots": own}) for table, own in found if own]


def _shots(text: str) -> Shots:
    if text == "all":
        return "all"
    number = whole_number(text)
    if number is None:
        raise UserError(f"--shots takes whole numbers or all, like 0,5,all, not '{text[:40]}'")
    return number


def _seed(text: str) -> int:
    number = whole_number(text)
    if number is None:
        raise UserError(f"--seeds takes whole numbers like 0,1,2, not '{text[:40]}'")
    return number


def parse_set(text: str) -> tuple[str, str, Value]:
    """Parse `method.param=value` into its parts, the value as TOML would read it, or else as text."""
    name, equals, raw = text.partition("=")
    method, dot, parameter = name.strip().partition(".")
    if not equals or not dot or not parameter:
        raise UserError(f"--set takes method.param=value, not '{text[:40]}'")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
        check_size(value)
    except tomllib.TOMLDecodeError:
        value = raw
    except ValueError as error:
        raise UserError(f"--set {name.strip()[:40]}: {error}") from None
    return method, parameter, value
