"""Published accuracies beside ours: of tables beside datasets' cards, and of one that the user names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

import pandas as pd

from bench.core.errors import UserError
from bench.core.paths import published_results
from bench.data.catalog import card_folder, card_names, load_card
from bench.data.sources.base import normalised
from bench.report.scores.external import AVERAGE, Published, PublishedTable, few, read_published
from bench.report.scores.frame import accuracy_column
from bench.report.scores.supervision import USUAL
from bench.report.scores.words import metric_name
from bench.report.statistics.summary import scored
from bench.report.tables.formats import listed
from bench.report.tables.leaderboard import Block
from bench.spec.cell import TOGETHER

ORACLE = "oracle"
SOURCE_ALONE = {"erm", "sourceonly"}
"""Names in such tables of the source stage alone."""
KINDS = ("cross-domain", "pretrained")
"""Kinds of transfer that tables report: of all classes, from one domain to another or from none."""

Domains = Mapping[str, tuple[str, ...]]
"""Domains by dataset."""


@dataclass(frozen=True)
class Ours:
    """Mean accuracies in percent of one of our methods on one pair; None: that rule chose nothing."""

    block: Block
    method: str
    backbone: str
    last: float | None
    oracle: float | None


@dataclass(frozen=True)
class PublishedComparison:
    """Published accuracy, and ours of the same method on the same pair; None: the method did not run."""

    published: Published
    ours: Ours | None


@dataclass(frozen=True)
class PublishedResults:
    """Published accuracies of what was run, methods that did not run included; notes and faults of tables."""

    rows: list[PublishedComparison]
    notes: list[str]
    faults: list[str]


def published(frame: pd.DataFrame, source_alone: str) -> PublishedResults:
    """Set published accuracies beside ours, for the datasets, pairs and shots that were run.

    Methods are matched by name without regard to case and dashes; `source_alone` is what tables call ERM or
    source only. A mean over all pairs is shown where all of them were run. Beside results in another metric
    than accuracy nothing is set.
    """
    run = frame[frame["dataset"].notna()]
    domains = domains_by_dataset(run[["dataset", "source", "target"]].itertuples(index=False, name=None))
    ours = _ours(frame[frame["metric"].eq("accuracy")], domains)
    judged = judged_otherwise(run[["dataset", "metric"]].itertuples(index=False, name=None))
    rows: list[PublishedComparison] = []
    notes, faults = [], []
    for path, wanted in tables(domains):
        try:
            table = read_published(path, wanted)
        except UserError as error:
            # A page is handed on: it does not say where the user's files are.
            faults.append(str(error).replace(str(path), path.name))
            continue
        table, others = apart(table, judged)
        found = list(_beside(table.results, ours, source_alone))
        rows += found
        notes += [table.note] if found and table.note and table.note not in notes else []
        faults += [f"{path.name}, {fault}" for fault in [*others, *few(table.faults)]]
    notes += _of_fewer_classes(frame, {row.published.dataset for row in rows if row.ours})
    return PublishedResults(sorted(rows, key=_order), notes, faults)


def _of_fewer_classes(frame: pd.DataFrame, datasets: Iterable[str]) -> list[str]:
    """Say of which datasets results are on a part of the classes: papers' are on all of them."""
    found = []
    for dataset in sorted({*datasets} & {*card_names()}):
        cells = frame[(frame["dataset"] == dataset) & frame["kind"].isin(KINDS)]
        every, counts = len(load_card(dataset).classes), sorted(set(cells["classes"].astype(int)))
        if fewer := [str(count) for count in counts if count < every]:
            part = f"{listed(fewer)} of the {every} classes of {dataset}"
            found.append(f"Ours are on {part}, papers' on all of them, which is another question.")
    return found


def _order(row: PublishedComparison) -> tuple[str, ...]:
    """By name: nothing here is ranked."""
    each, ours = row.published, row.ours
    return (
        *(each.dataset, each.shots.zfill(6), str(each.pair == AVERAGE), each.pair),
        *(normalised(ours.method if ours else each.method), each.origin, ours.backbone if ours else ""),
    )


def domains_by_dataset(run: Iterable[tuple[str, object, str]]) -> Domains:
    """Domains of the datasets of (dataset, source, target) that were run: the cards', or those that ran."""
    named: dict[str, set[str]] = defaultdict(set)
    for dataset, source, target in run:
        sources = source.split(TOGETHER) if isinstance(source, str) else []
        named[dataset] |= {*sources, target}
    known = set(card_names())
    return {
        dataset: tuple(load_card(dataset).domains if dataset in known else sorted(names))
        for dataset, names in sorted(named.items())
    }


def judged_otherwise(run: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Metric of the datasets of (dataset, metric) that were run of which no cell is judged by accuracy."""
    found = sorted(set(run))
    by_accuracy = {dataset for dataset, metric in found if metric == "accuracy"}
    return {dataset: metric for dataset, metric in found if dataset not in by_accuracy}


def apart(table: PublishedTable, judged: Mapping[str, str]) -> tuple[PublishedTable, list[str]]:
    """Leave out of a table the datasets that are judged by other metrics, with a line for each of them."""
    left_out = sorted({each.dataset for each in table.results} & judged.keys())
    results = tuple(each for each in table.results if each.dataset not in left_out)
    why = [
        f"accuracies of {name} are left out: its cells have {metric_name(judged[name])}" for name in left_out
    ]
    return replace(table, results=results), why


def tables(domains: Domains) -> list[tuple[Path, Domains]]:
    """Tables of published results of these datasets, each with the datasets that it is read for.

    They are those beside the datasets' cards, and the one that the user names.
    """
    known = set(card_names())
    named = {dataset: load_card(dataset).anchors for dataset in domains if dataset in known}
    found: list[tuple[Path, Domains]] = [
        (card_folder(dataset) / name, {dataset: domains[dataset]}) for dataset, name in named.items() if name
    ]
    own = published_results()
    return [*found, (own, domains)] if own else found


Question = tuple[str, str, str]
"""Dataset, pair and shots."""


def _ours(frame: pd.DataFrame, domains: Domains) -> dict[Question, list[Ours]]:
    """Mean accuracies over seeds by question, and over all ordered pairs where all of them were run."""
    cells = scored(frame[frame["kind"].isin(KINDS)])
    cells = cells[cells["supervision"].map(attrgetter("episodes")).eq("")]
    found: dict[Question, list[Ours]] = {}
    by = ["dataset", "kind", "supervision", "method", "backbone"]
    for (dataset, kind, supervision, method, backbone), mine in cells.groupby(by):
        block, shots = Block(str(kind), supervision), str(supervision.shots)
        means = mine.groupby("pair")[[accuracy_column(USUAL), accuracy_column(ORACLE)]].mean()
        for pair, row in means.iterrows():
            found.setdefault((dataset, str(pair), shots), []).append(_own(block, method, backbone, row))
        count = len(domains[dataset])
        if kind == "cross-domain" and count > 1 and len(means) == count * (count - 1):
            total = _own(block, method, backbone, means.mean(skipna=False))
            found.setdefault((dataset, AVERAGE, shots), []).append(total)
    return found


def _own(block: Block, method: str, backbone: str, accuracy: pd.Series) -> Ours:
    last, oracle = (None if pd.isna(value) else float(value) for value in accuracy)
    return Ours(block, str(method), str(backbone), last, oracle)


def _beside(
    results: Iterable[Published], ours: Mapping[Question, list[Ours]], source_alone: str
) -> Iterator[PublishedComparison]:
    for each in results:
        run = ours.get((each.dataset, each.pair, each.shots))
        if run is None:
            continue
        plain = normalised(each.method)
        name = normalised(source_alone) if plain in SOURCE_ALONE else plain
        mine: list[Ours | None] = [own for own in run if normalised(own.method) == name]
        yield from (PublishedComparison(each, own) for own in mine or [None])
