"""Published accuracies beside ours, where a dataset's card names a table of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import pandas as pd

from bench.data.card import CARDS
from bench.data.catalog import card_names, load_card
from bench.report.scores.frame import accuracy_column
from bench.report.scores.supervision import USUAL
from bench.report.statistics.summary import scored
from bench.report.tables.leaderboard import Block

ORACLE = "oracle"
SOURCE_ALONE = {"erm", "sourceonly"}
"""Names in such tables of the source stage alone."""


@dataclass(frozen=True)
class PublishedComparison:
    """Accuracy of one method on one pair at no target labels, ours and published; percent, None: not run.

    published: accuracy by backbone as the table names it.
    """

    dataset: str
    block: Block
    method: str
    backbone: str
    pair: str
    last: float
    oracle: float | None
    published: dict[str, float]


@dataclass(frozen=True)
class Published:
    """Accuracies that can be set beside ours, and the tables' own notes."""

    rows: list[PublishedComparison]
    backbones: list[str]
    notes: list[str]


def published(frame: pd.DataFrame, source_alone: str) -> Published:
    """Set ours at 0 shots beside the tables of the datasets' cards, by dataset, method and pair.

    Methods are matched by name without regard to case and dashes; `source_alone` is what tables call ERM or
    source only.
    """
    cells = scored(frame[frame["source"].notna()])
    cells = cells[cells["supervision"].map(attrgetter("no_labels")).eq(True)]
    rows: list[PublishedComparison] = []
    notes: list[str] = []
    for dataset in sorted(set(cells["dataset"].unique()) & set(card_names())):
        named = load_card(dataset).anchors
        if not named:
            continue
        table, note = read(CARDS / named)
        found = _beside(cells[cells["dataset"] == dataset], table[table["dataset"] == dataset], source_alone)
        rows += found
        notes += [note] if found and note not in notes else []
    return Published(rows, sorted({name for row in rows for name in row.published}), notes)


def read(path: Path) -> tuple[pd.DataFrame, str]:
    """Read a table of published accuracies, and the comment that it opens with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    return pd.read_csv(path, sep="\t", comment="#"), comment


def _beside(cells: pd.DataFrame, table: pd.DataFrame, source_alone: str) -> list[PublishedComparison]:
    keys = table["method"].map(_plain)
    found = []
    for (dataset, kind, supervision, method, backbone, source, target), mine in cells.groupby(
        ["dataset", "kind", "supervision", "method", "backbone", "source", "target"]
    ):
        plain = SOURCE_ALONE if method == source_alone else {_plain(method)}
        others = table[keys.isin(plain) & (table["source"] == source) & (table["target"] == target)]
        if others.empty:
            continue
        oracle = mine[accuracy_column(ORACLE)].mean()
        found.append(
            PublishedComparison(
                str(dataset),
                Block(str(kind), supervision),
                str(method),
                str(backbone),
                f"{source} → {target}",
                float(mine[accuracy_column(USUAL)].mean()),
                None if pd.isna(oracle) else float(oracle),
                {
                    str(name): float(value)
                    for name, value in others.groupby("backbone")["accuracy"].mean().items()
                },
            )
        )
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
