"""Recommendation of a method for a budget, with its chance of being the best, from the records at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.records.selection import HEADLINE
from bench.report.scores.bootstrap import Interval, resampled
from bench.report.statistics.summary import difference, mean_accuracy, scored, shared
from bench.report.tables.leaderboard import Block


@dataclass(frozen=True)
class Candidate:
    """Method with its percent, seconds a cell takes alone (median), and the chance that it is the best."""

    method: str
    accuracy: float
    interval: Interval | None
    seconds: float
    chance: float
    """Share of the resamples of test images in which its mean accuracy is the highest."""
    separable: bool
    """True where the best one's lead over it has an interval without zero."""


@dataclass(frozen=True)
class Advice:
    """Candidates of a block, best first, over the cells that all of them share."""

    block: Block
    candidates: tuple[Candidate, ...]
    cells: int
    too_dear: tuple[str, ...]
    """Methods whose cells take longer than the seconds allowed."""

    @property
    def cheapest(self) -> Candidate:
        """Candidate of the least seconds among the best and those that are not separable from it."""
        able = [c for c in self.candidates if not c.separable]
        return min(able, key=lambda c: c.seconds)


def advise(frame: pd.DataFrame, block: Block, max_seconds: float | None = None) -> Advice | None:
    """Rank the methods of a block within a number of seconds a cell; None where no cell is done.

    A method counts as within `max_seconds` where the median of its cells is.
    """
    rows = block.of(frame)
    medians = scored(rows).groupby("method")["seconds_alone"].median()
    dear = [] if max_seconds is None else sorted(medians.index[medians > max_seconds])
    # Shared among those that are left: a method that is out of the question limits no comparison.
    cells = shared(rows[~rows["method"].isin(dear)])
    if cells.empty:
        return Advice(block, (), 0, tuple(dear)) if dear else None
    methods = sorted(cells["method"].unique())
    chances = _chances([cells[cells["method"] == method] for method in methods])
    found = []
    for method, chance in zip(methods, chances, strict=True):
        mine = cells[cells["method"] == method]
        accuracy, interval = mean_accuracy(mine)
        assert accuracy is not None
        seconds = float(mine["seconds_alone"].median())
        found.append((method, accuracy, interval, seconds, chance))
    found.sort(key=lambda row: (-row[1], row[3], row[0]))
    best = cells[cells["method"] == found[0][0]]
    return Advice(
        block,
        tuple(
            Candidate(*row, separable=difference(best, cells[cells["method"] == row[0]]).clear)
            for row in found
        ),
        len(cells) // len(methods),
        tuple(dear),
    )


def _chances(groups: Sequence[pd.DataFrame]) -> list[float]:
    """Share of resamples of test images, the same for all, in which each mean is the highest."""
    predictions = [list(rows["predictions"]) for rows in groups]
    accuracy = resampled([cell for cells in predictions for cell in cells], HEADLINE)
    ends = np.cumsum([len(cells) for cells in predictions])[:-1]
    means = np.stack([np.nanmean(part, axis=1) for part in np.split(accuracy, ends, axis=1)], axis=1)
    best = means >= means.max(axis=1, keepdims=True) - 1e-9
    # Ties are shared out, so that chances add up to one.
    return [float(share) for share in (best / best.sum(axis=1, keepdims=True)).mean(axis=0)]
