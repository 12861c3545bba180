"""A suite by name, with what the command line narrows or replaces; every name is checked here."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from bench.core.errors import UserError, check_name
from bench.core.paths import own_data
from bench.data.card import Card, own_name
from bench.data.catalog import load_card
from bench.method.registry import explicit, method_file, method_modules
from bench.spec.cell import Value
from bench.spec.matrix.suite import ScenarioTable, Suite, load_suite

OWN_IMAGES, OWN_TASKS = "own-images", "own-tasks"
"""Suites for one's own images where none is named: of several domains, and of one."""


def narrow(
    name: str | None,
    *,
    methods: list[str] | None = None,
    source: str | None = None,
    target: str | None = None,
    backbone: str | None = None,
    seeds: list[str] | None = None,
    sets: Sequence[str] = (),
) -> Suite:
    """The suite that is asked for.

    Raises:
        UserError: an unknown name, with a suggestion, or a value of the wrong form.
    """
    suite = _suite(name)
    card = load_card(suite.dataset)
    for method in [*suite.methods, *(methods or [])]:
        method_file(method)
    check_name("method as baseline", suite.baseline, method_modules())
    for method in suite.set:
        check_name("method in [set]", method, suite.methods)
    chosen = list(dict.fromkeys(methods or suite.methods))
    overrides = {method: dict(values) for method, values in suite.set.items() if method in chosen}
    for text in sets:
        method, parameter, value = parse_set(text)
        check_name("method in --set", method, chosen)
        overrides.setdefault(method, {})[parameter] = value
    change: dict[str, Any] = {
        "methods": chosen,
        "set": {method: explicit(method, values) for method, values in overrides.items()},
    }
    if backbone:
        change["backbones"] = [backbone]
    if seeds:
        change["seeds"] = [_seed(text) for text in seeds]
    if source or target:
        change["scenarios"] = [_in_domains(table, source, target) for table in suite.scenarios]
        _check_domains(card, source, target)
    return suite.model_copy(update=change)


def _suite(name: str | None) -> Suite:
    """The suite of that name; over one's own images where `--data` names some."""
    own = own_data()
    if own is None:
        if name is None:
            raise UserError(
                "say which suite: --suite NAME (bench list suites), or your own images: --data FOLDER"
            )
        suite = load_suite(name)
        if not suite.dataset:
            raise UserError(f"suite '{name}' is for one's own images: say which with --data FOLDER")
        return suite
    card = load_card(own_name(own))
    suite = load_suite(name or (OWN_IMAGES if len(card.domains) > 1 else OWN_TASKS))
    classes = suite.classes if isinstance(suite.classes, int) else None
    everywhere: dict[str, Any] = {"sources": "all", "targets": "all"}
    return suite.model_copy(
        update={
            "name": f"{suite.name}-{card.name}",
            "dataset": card.name,
            "domains": None,
            "classes": min(classes, len(card.classes)) if classes else None,
            "scenarios": [table.model_copy(update=everywhere) for table in suite.scenarios],
        }
    )


def _check_domains(card: Card, source: str | None, target: str | None) -> None:
    for name in filter(None, (source, target)):
        check_name(f"domain of {card.name}", name, card.domains)
    if source is not None and source == target:
        raise UserError(f"source and target are both '{source}': choose two domains")


def _in_domains(table: ScenarioTable, source: str | None, target: str | None) -> ScenarioTable:
    """The table with one source, where it has sources, and one target."""
    change = {"targets": [target]} if target else {}
    if source and table.kind in ("cross-domain", "cross-domain-task"):
        change["sources"] = [source]
    return table.model_copy(update=change)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"--seeds takes whole numbers like 0,1,2, not '{text}'")
    return int(text)


def parse_set(text: str) -> tuple[str, str, Value]:
    """`method.param=value`, the value as TOML would read it, or else as text."""
    name, equals, raw = text.partition("=")
    method, dot, parameter = name.strip().partition(".")
    if not equals or not dot or not parameter:
        raise UserError(f"--set takes method.param=value, not '{text}'")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw
    return method, parameter, value
