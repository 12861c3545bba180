"""Accuracy of every method on every pair of domains: the matrix behind heat maps and explorer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.report.scores.frame import accuracy_column
from bench.report.statistics.summary import SAME, scored
from bench.report.tables.leaderboard import Leaderboard
from bench.report.tables.record_links import RecordLinks, record_anchor

LEVELS = 4
"""Steps of colour on either side of the baseline."""


@dataclass(frozen=True)
class Pair:
    """Pair of domains; no source for kind `pretrained`."""

    name: str
    source: str
    target: str


@dataclass(frozen=True)
class Score:
    """Mean accuracy in percent over a method's done cells on a pair, and the anchor of their record(s).

    gain: points over the baseline on the pair, over the cells that both have done; None: there are none.
    level: the gain in steps of colour, from -`LEVELS` to `LEVELS`.
    part: name of the cells of the pair that the method has done, the same for the same cells; empty: all.
    """

    accuracy: float
    gain: float | None
    level: int
    cells: int
    anchor: str
    best: bool
    part: str


@dataclass(frozen=True)
class Row:
    """Scores of a method, in the order of the table's pairs; None: no done cell."""

    method: str
    scores: list[Score | None]

    @property
    def mean(self) -> float:
        """Mean over the pairs that the method has done."""
        return float(np.mean([score.accuracy for score in self.scores if score]))


@dataclass(frozen=True)
class Pairs:
    """Matrix of a block; `scale` is the gain in points from which on colours are strongest."""

    pairs: list[Pair]
    rows: list[Row]
    scale: float


def by_pair(
    frame: pd.DataFrame, board: Leaderboard, record_links: RecordLinks, methods: Sequence[str]
) -> Pairs:
    """Matrix of a block, `methods` in this order; `best` marks the highest of a pair with several methods.

    It is the highest over the cells that all methods with a done cell on the pair have done.
    """
    block = board.block
    cells = _with_gaps(scored(block.of(frame)), board.baseline)
    domains = cells.drop_duplicates("pair").sort_values("pair")
    pairs = [
        Pair(str(row.pair), "" if pd.isna(row.source) else str(row.source), str(row.target))
        for row in domains.itertuples()
    ]
    grouped = cells.groupby(["method", "pair"])
    means = grouped[accuracy_column()].mean().unstack("pair")
    keys = {place: (len(part), part.iloc[0]) for place, part in grouped["key"]}
    gains = grouped["gap"].mean().unstack("pair")
    size = np.abs(gains.to_numpy()[gains.to_numpy() != 0])
    scale = float(np.nanquantile(size, 0.75)) if np.isfinite(size).any() else 1.0
    parts = _parts(cells)
    alike = _alike(cells).groupby(["method", "pair"])[accuracy_column()].mean()
    highest = alike.groupby("pair").max()

    def score(method: str, pair: str) -> Score | None:
        if (method, pair) not in keys:
            return None
        accuracy, gain = float(means.loc[method, pair]), float(gains.loc[method, pair])
        count, key = keys[method, pair]
        return Score(
            accuracy,
            None if math.isnan(gain) else gain,
            _level(gain, scale),
            count,
            record_anchor(key) if count == 1 else record_links.of(block, method),
            bool(len(means) > 1 and alike.get((method, pair), -np.inf) >= highest.get(pair, np.inf) - 1e-9),
            parts[method, pair],
        )

    rows = [Row(name, [score(name, pair.name) for pair in pairs]) for name in methods if name in means.index]
    return Pairs(pairs, rows, scale)


def _with_gaps(cells: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Cells with a column `gap`: points over the baseline's cell of the same question and seed, if any."""
    column = accuracy_column()
    base = cells.loc[cells["method"] == baseline, [*SAME, column]].rename(columns={column: "base"})
    found = cells.merge(base, on=list(SAME), how="left")
    return found.assign(gap=found[column] - found["base"])


def _alike(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells of each pair whose question and seed all methods with a cell on the pair have answered."""
    answered = cells.groupby(["pair", *SAME])["method"].transform("nunique")
    return cells[answered == cells.groupby("pair")["method"].transform("nunique")]


def _parts(cells: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Name of the questions and seeds that a method has answered on a pair, by both; empty: all."""
    found: dict[tuple[str, str], str] = {}
    for pair, rows in cells.groupby("pair"):
        done = {
            method: frozenset(mine[list(SAME)].itertuples(index=False, name=None))
            for method, mine in rows.groupby("method")
        }
        names = {frozenset[tuple[object, ...]]().union(*done.values()): ""}
        for method, mine in done.items():
            found[str(method), str(pair)] = names.setdefault(mine, str(len(names)))
    return found


def _level(gain: float, scale: float) -> int:
    if math.isnan(gain) or abs(gain) < 0.05:
        return 0
    return int(math.copysign(min(LEVELS, math.ceil(LEVELS * abs(gain) / scale)), gain))
