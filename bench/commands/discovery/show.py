"""`bench show`: a suite, a method or a dataset on one screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, fields
from functools import cache
from itertools import islice

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.commands.experiments.cost_model import CostModel, MethodTraits
from bench.commands.options import SuiteOptions
from bench.commands.progress import duration
from bench.commands.suite_options import own_kind, select_suite
from bench.core.errors import UserError, did_you_mean
from bench.core.modalities import Modality
from bench.core.paths import RESULTS
from bench.core.text import counted, printable
from bench.data.card import Card
from bench.data.catalog import card_names, load_card
from bench.data.index import find
from bench.method import registry
from bench.records import baselines
from bench.records.store import Store
from bench.spec.cell import Cell
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import Suite, load_suite, suite_names

MOST_RECORDS = 2000
"""Records that a forecast goes by."""

Facts = Iterator[tuple[str, str]]
"""Facts with what they are about."""


def show(name: str) -> None:
    """Print what is called so; all of it where a suite and a dataset share a name.

    Raises:
        UserError: nothing is, with a suggestion.
    """
    kinds: list[tuple[str, bool, Callable[[str], Facts]]] = [
        ("suite", name in suite_names() or name.endswith(".toml"), suite_facts),
        ("method", name in registry.method_modules(), method_facts),
        ("dataset", name in card_names(), dataset_facts),
    ]
    found = [(kind, facts) for kind, known, facts in kinds if known]
    if not found:
        known = sorted({*suite_names(), *registry.method_modules(), *card_names()})
        raise UserError(f"no suite, method or dataset '{name}': {did_you_mean(name, known)}")
    console = Console()
    for kind, facts in found:
        console.print(Text(printable(f"{kind} {name}"), "bold"))
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 2))
        table.add_column(no_wrap=True, style="dim")
        table.add_column(overflow="fold")
        for what, text in facts(name):
            table.add_row(Text(what), Text(printable(text)))
        console.print(table)


# A suite -------------------------------------------------------------------------------------------------


def suite_facts(name: str) -> Facts:
    """What a suite asks, of what, and what it costs."""
    suite = select_suite(SuiteOptions(name)) if load_suite(name).dataset else load_suite(name)
    yield "asks", suite.description
    kind = load_card(suite.dataset).kind if suite.dataset else own_kind(name)
    yield "dataset", suite.dataset or f"your own {kind.items} (--data PATH)"
    yield "methods", f"{len(suite.methods)}: {', '.join(suite.methods)}"
    yield "baseline", suite.baseline + (", and each method's control" if suite.controls else "")
    yield "backbones", ", ".join(suite.backbones)
    yield kind.items, f"{suite.image_size} {kind.unit}, {suite.augment}"
    yield "budget", _budget(suite, kind)
    yield "seeds", ", ".join(map(str, suite.seeds))
    for table in suite.scenarios:
        sides = [
            f"{what} {side if isinstance(side, str) else ', '.join(map(_pool, side))}"
            for what, side in (("sources", table.sources), ("targets", table.targets))
            if what == "targets" or table.kind != "pretrained"
        ]
        yield "scenario", f"{table.kind}: {'; '.join(sides)}; shots {', '.join(map(str, table.shots))}"
    if suite.dataset:
        card = load_card(suite.dataset)
        cells = plan(suite, card)
        yield "cells", f"{len(cells)}" + (", without controls" if suite.controls else "")
        yield "takes", _forecast(suite, cells)
        yield "licence", " ".join(card.licence.split())
    yield "run", f"bench run --suite {name}" + ("" if suite.dataset else " --data PATH")


def _pool(domains: str | Sequence[str]) -> str:
    """Name of a domain, or of several that are one source."""
    return domains if isinstance(domains, str) else " + ".join(domains)


def _budget(suite: Suite, kind: Modality) -> str:
    steps = ", ".join(str(budget.steps) for budget in suite.budgets)
    until = f", until converged (at most {suite.budget.longest})" if suite.budget.longest else ""
    budget = suite.budget
    size = f"{budget.batch_size} {kind.items}"
    return f"{steps} steps of {size}{until}, {budget.evaluations} evaluations a stage"


def _forecast(suite: Suite, cells: Sequence[Cell]) -> str:
    """Seconds of a suite's cells by those that are recorded here, or in its baseline."""
    store = Store(RESULTS / suite.name)
    if store.empty and suite.name in baselines.names():
        store = Store(baselines.BASELINES / suite.name)
    # What cells share is part of what each costs here: who shares what is known to who has the networks.
    records = islice(store.records(), MOST_RECORDS)
    model = CostModel.fit(records, lambda _: MethodTraits(has_source_stage=False))
    known = {cell.key: model.predict(cell) for cell in cells}
    seconds = [each for each in known.values() if each is not None]
    if not seconds:
        return "nothing of it is recorded here: nothing to tell the time from"
    unknown = Counter(cell.method for cell in cells if known[cell.key] is None)
    return (
        f"about {duration(sum(seconds))} one after another, going by "
        f"{counted(model.from_cells, 'recorded cell')} in {store.root}"
        + (f"; not counted: {', '.join(unknown)}" if unknown else "")
    )


# A method ------------------------------------------------------------------------------------------------


def method_facts(name: str) -> Facts:
    """What a method is, what it needs, and what can be set."""
    yield "is", registry.method_summary(name)
    yield "paper", registry.method_paper(name)
    yield "family", registry.family(name)
    # What follows is the class's to say, which needs torch.
    method = registry.load_method(name)
    cost = registry.method_costs().get(name)
    control = registry.control_of(name)
    yield "needs", registry.method_needs(name) or "nothing beside what the scenario has"
    if lacks := method.unavailable():
        yield "here", f"it {lacks}"
    if method.starts_from:
        yield "starts from", method.starts_from
    if cost:
        what = "fit" if cost.per_fit else "step"
        yield "costs", f"{cost.time:g} times a step of full fine-tuning, for a {what}"
    yield "control", _control(control)
    yield "checked", registry.method_reference(name) or "–"
    for field in fields(method):  # type: ignore[arg-type]
        limits = (
            f", searched from {field.metadata['low']:g} to {field.metadata['high']:g}"
            if field.metadata
            else ""
        )
        default = field.default if field.default is not MISSING else "–"
        yield f"{name}.{field.name}", f"{default}{limits}"
    for preset, values in method.presets.items():
        yield f"preset {preset}", ", ".join(f"{key} = {value}" for key, value in values.items())
    yield "in suites", ", ".join(_suites(lambda suite: name in suite.methods)) or "none by name"
    methods = ",".join(dict.fromkeys((load_suite("quick").baseline, name)))
    yield "run", f"bench run --suite quick --methods {methods}"


def _control(control: object) -> str:
    if isinstance(control, dict):
        return "itself with " + ", ".join(f"{key} = {value}" for key, value in control.items())
    return str(control) if control else "none"


def _suites(wanted: Callable[[Suite], bool]) -> list[str]:
    return [name for name in suite_names() if wanted(_loaded(name))]


@cache
def _loaded(name: str) -> Suite:
    """Packaged suite, read once."""
    return load_suite(name)


# A dataset -----------------------------------------------------------------------------------------------


def dataset_facts(name: str) -> Facts:
    """Card of a dataset, with its licence, and where its items are."""
    card = load_card(name)
    yield "is", card.title
    yield "about", " ".join(card.description.split())
    yield "domains", f"{len(card.domains)}: {', '.join(card.domains)}"
    yield (
        "classes",
        f"{len(card.classes)}: {', '.join(card.classes[:20])}" + (", …" if card.classes[20:] else ""),
    )
    if counts := [count for domain in card.clean_domains if (count := card.expected_images(domain))]:
        yield card.kind.items, f"{sum(counts):,}"
    yield (
        "split",
        f"by seed {card.split.seed}: {card.split.test:.0%} test, {card.split.validation:.0%} validation",
    )
    yield "licence", " ".join(card.licence.split())
    for domain, text in card.credits.items():
        yield f"of {domain}", " ".join(text.split())
    if card.homepage:
        yield "homepage", card.homepage
    if card.citation:
        yield "cite", " ".join(card.citation.split())
    yield "here", _here(card)
    yield "in suites", ", ".join(_suites(lambda suite: suite.dataset == name)) or "none"


def _here(card: Card) -> str:
    try:
        return find(card, download=False).origin
    except UserError as error:
        return f"no: {error}"
