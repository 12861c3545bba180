"""Aggregates over many tasks: interquartile means and performance profiles.

Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", sections 4.2 and
4.3, https://arxiv.org/abs/2108.13264. A task is one of our questions, a run a seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from bench.records.selection import HEADLINE
from bench.report.scores.frame import accuracy_column
from bench.report.statistics.summary import shared

FEWEST = 4
"""Cells below which the quarters to cut off are not even one cell each."""


@dataclass(frozen=True)
class Aggregate:
    """Aggregate of one method over the cells that all methods share, in percent; None: too few cells."""

    method: str
    cells: int
    mean: float
    median: float
    interquartile: float | None
    worst: float


def aggregates(rows: pd.DataFrame, rule: str = HEADLINE) -> list[Aggregate]:
    """Mean, median, interquartile mean (a quarter cut off at each end) and worst cell, best method first."""
    found = []
    for method, values in shared(rows, rule).groupby("method")[accuracy_column(rule)]:
        middle = float(stats.trim_mean(values, 0.25)) if len(values) >= FEWEST else None
        low, mean, median = float(values.min()), float(values.mean()), float(values.median())
        found.append(Aggregate(str(method), len(values), mean, median, middle, low))
    return sorted(found, key=lambda row: (-row.mean, row.method))


def profiles(rows: pd.DataFrame, rule: str = HEADLINE) -> pd.DataFrame:
    """Share of cells above each accuracy: a column per method, indexed by accuracy in percent, falling.

    Indexed by every accuracy that occurs, where the curves step down; 100 % of cells are above the start.
    """
    cells = shared(rows, rule)
    column = accuracy_column(rule)
    values = np.unique(cells[column].to_numpy(dtype=float))
    thresholds = np.concatenate([np.maximum(values[:1] - 1.0, 0.0), values])
    curves = {
        str(method): (mine.to_numpy(dtype=float)[:, None] > thresholds).mean(axis=0) * 100.0
        for method, mine in cells.groupby("method")[column]
    }
    return pd.DataFrame(curves, index=pd.Index(thresholds, name="accuracy"))
