"""Accuracy of every method on every pair of domains: the matrix behind heat maps and explorer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.report.scores.frame import accuracy_column
from bench.report.statistics.summary import scored
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

    gain: points over the baseline on the pair, None: it has no done cell there.
    level: the gain in steps of colour, from -`LEVELS` to `LEVELS`.
    """

    accuracy: float
    gain: float | None
    level: int
    cells: int
    anchor: str
    best: bool


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
    """Matrix of a block, `methods` in this order; `best` marks the highest of a pair with several methods."""
    block = board.block
    cells = scored(block.of(frame))
    domains = cells.drop_duplicates("pair").sort_values("pair")
    pairs = [
        Pair(str(row.pair), "" if pd.isna(row.source) else str(row.source), str(row.target))
        for row in domains.itertuples()
    ]
    grouped = cells.groupby(["method", "pair"])
    means = grouped[accuracy_column()].mean().unstack("pair")
    keys = {place: (len(part), part.iloc[0]) for place, part in grouped["key"]}
    gains = means - means.loc[board.baseline] if board.baseline in means.index else means * np.nan
    size = np.abs(gains.to_numpy()[gains.to_numpy() != 0])
    scale = float(np.nanquantile(size, 0.75)) if np.isfinite(size).any() else 1.0
    highest = means.max() if len(means) > 1 else means.max() + np.inf

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
            bool(accuracy >= highest[pair] - 1e-9),
        )

    rows = [Row(name, [score(name, pair.name) for pair in pairs]) for name in methods if name in means.index]
    return Pairs(pairs, rows, scale)


def _level(gain: float, scale: float) -> int:
    if math.isnan(gain) or abs(gain) < 0.05:
        return 0
    return int(math.copysign(min(LEVELS, math.ceil(LEVELS * abs(gain) / scale)), gain))
