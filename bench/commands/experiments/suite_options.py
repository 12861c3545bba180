"""Selection of a suite by name, with the command line's filters and replacements; checks every name."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.core.errors import UserError, check_name
from bench.core.paths import own_data
from bench.data.card import Card, own_name
from bench.data.catalog import load_card
from bench.method.registry import explicit, method_file, method_modules
from bench.networks.own_weights import resolve
from bench.spec.cell import Value
from bench.spec.matrix.suite import ScenarioTable, Suite, load_suite
from bench.spec.scenarios import KINDS

OWN_IMAGES, OWN_TASKS = "own-images", "own-tasks"
"""Default suites for one's own images: of several domains, and of one."""


@dataclass(frozen=True)
class SuiteOptions:
    """Options that select a suite, filter its methods and domains, and replace some of its values."""

    suite: str | None
    methods: Sequence[str] | None = None
    source: str | None = None
    target: str | None = None
    backbone: str | None = None
    seeds: Sequence[str] | None = None
    sets: Sequence[str] = ()
    """Hyperparameters as `method.param=value`."""


def select_suite(options: SuiteOptions) -> Suite:
    """Load the selected suite, filtered and changed as the options say.

    Raises:
        UserError: an unknown name, with a suggestion, or a value of the wrong form.
    """
    suite = _load(options.suite)
    card = load_card(suite.dataset)
    for method in [*suite.methods, *(options.methods or [])]:
        method_file(method)
    check_name("method as baseline", suite.baseline, method_modules())
    for method in suite.set:
        check_name("method in [set]", method, suite.methods)
    methods = list(dict.fromkeys(options.methods or suite.methods))
    overrides = {method: dict(values) for method, values in suite.set.items() if method in methods}
    for text in options.sets:
        method, parameter, value = parse_set(text)
        check_name("method in --set", method, methods)
        overrides.setdefault(method, {})[parameter] = value
    change: dict[str, Any] = {
        "methods": methods,
        "set": {method: explicit(method, values) for method, values in overrides.items()},
    }
    change["backbones"] = [
        resolve(name) for name in ([options.backbone] if options.backbone else suite.backbones)
    ]
    if options.seeds:
        change["seeds"] = [_seed(text) for text in options.seeds]
    if options.source or options.target:
        change["scenarios"] = [_filtered(table, options.source, options.target) for table in suite.scenarios]
        _check_domains(card, options.source, options.target)
    return suite.model_copy(update=change)


def _load(name: str | None) -> Suite:
    """Load the suite of that name, over one's own images where `--data` names some."""
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
    all_domains = {"sources": "all", "targets": "all"}
    return suite.model_copy(
        update={
            "name": f"{suite.name}-{card.name}",
            "dataset": card.name,
            "domains": None,
            "classes": min(classes, len(card.classes)) if classes else None,
            "scenarios": [table.model_copy(update=all_domains) for table in suite.scenarios],
        }
    )


def _check_domains(card: Card, source: str | None, target: str | None) -> None:
    for name in filter(None, (source, target)):
        check_name(f"domain of {card.name}", name, card.domains)
    if source is not None and source == target:
        raise UserError(f"source and target are both '{source}': choose two domains")


def _filtered(table: ScenarioTable, source: str | None, target: str | None) -> ScenarioTable:
    """Reduce a table to one source, where it has sources, and one target."""
    change = {"targets": [target]} if target else {}
    if source and KINDS[table.kind].takes_sources:
        change["sources"] = [source]
    return table.model_copy(update=change)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"--seeds takes whole numbers like 0,1,2, not '{text}'")
    return int(text)


def parse_set(text: str) -> tuple[str, str, Value]:
    """Parse `method.param=value` into its parts, the value as TOML would read it, or else as text."""
    name, equals, raw = text.partition("=")
    method, dot, parameter = name.strip().partition(".")
    if not equals or not dot or not parameter:
        raise UserError(f"--set takes method.param=value, not '{text}'")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw
    return method, parameter, value
