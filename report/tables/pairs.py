"""Accuracy of every method on every pair of domains: the table behind the heat maps and the explorer."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.report.scores.frame import accuracy_column
from bench.report.statistics.summary import scored
from bench.report.tables.leaderboard import Block
from bench.report.tables.record_links import RecordLinks, record_anchor


@dataclass(frozen=True)
class Score:
    """Mean accuracy in percent over a method's done cells on a pair, and the anchor of their record(s)."""

    accuracy: float
    cells: int
    anchor: str
    best: bool


@dataclass(frozen=True)
class Pair:
    """Pair of domains and its methods' scores, in the order of the table's methods; None: no done cell."""

    name: str
    scores: list[Score | None]


@dataclass(frozen=True)
class Pairs:
    """Pairs of a block."""

    methods: list[str]
    rows: list[Pair]


def by_pair(frame: pd.DataFrame, block: Block, record_links: RecordLinks) -> Pairs:
    """Table of a block; `best` marks the highest of a row, where several methods are in it."""
    cells = scored(block.of(frame))
    methods = sorted(cells["method"].unique())
    rows = []
    for pair, mine in cells.groupby("pair", sort=True):
        by_method = mine.groupby("method")
        means = by_method[accuracy_column()].mean()
        highest = means.max() if len(means) > 1 else float("inf")
        keys = by_method["key"].agg(["size", "first"])
        scores = [
            Score(
                accuracy=float(means[method]),
                cells=int(keys["size"][method]),
                anchor=record_anchor(keys["first"][method])
                if keys["size"][method] == 1
                else record_links.of(block, method),
                best=bool(means[method] >= highest - 1e-9),
            )
            if method in means.index
            else None
            for method in methods
        ]
        rows.append(Pair(str(pair), scores))
    return Pairs(methods, rows)
