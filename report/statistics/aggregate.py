"""Aggregates over many tasks: interquartile means with intervals, and performance profiles.

Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", sections 4.1 to
4.3, https://arxiv.org/abs/2108.13264. A task is one of our questions, a run a seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.records.selection import HEADLINE
from bench.report.scores.bootstrap import LEAST_SPREAD, RESAMPLES, Interval, tails
from bench.report.scores.frame import accuracy_column
from bench.report.statistics.summary import shared

FEWEST = 4
"""Cells below which the quarters to cut off are not even one cell each."""
FEWEST_RUNS = 3
"""Runs of a question below which resamples of them say too little of how runs vary."""
AT_ONCE = 100
"""Resamples that are drawn together."""


@dataclass(frozen=True)
class Aggregate:
    """Aggregate of one method over the cells that all methods share, in percent; None: too few cells.

    interval: of the interquartile mean; None: too few runs of a question, too.
    """

    method: str
    cells: int
    mean: float
    median: float
    interquartile: float | None
    interval: Interval | None
    worst: float


def aggregates(rows: pd.DataFrame, rule: str = HEADLINE) -> list[Aggregate]:
    """Mean, median, interquartile mean (a quarter cut off at each end) and worst cell, best method first."""
    found = []
    for method, cells in shared(rows, rule).groupby("method"):
        values = cells[accuracy_column(rule)]
        middle: float | None = None
        interval: Interval | None = None
        if len(values) >= FEWEST:
            middle = float(interquartile(values.to_numpy(dtype=float)))
            interval = stratified(values.to_numpy(dtype=float), cells["question"].to_numpy())
        low, mean, median = float(values.min()), float(values.mean()), float(values.median())
        found.append(Aggregate(str(method), len(values), mean, median, middle, interval, low))
    return sorted(found, key=lambda row: (-row.mean, row.method))


def interquartile(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without the lowest and the highest quarter, each rounded down."""
    cut = values.shape[-1] // 4
    return np.asarray(np.sort(values)[..., cut : values.shape[-1] - cut].mean(axis=-1))


def stratified(values: np.ndarray, questions: np.ndarray) -> Interval | None:
    """Interval of the interquartile mean by the stratified bootstrap: runs are drawn anew in each question.

    The percentile bootstrap of section 4.1. None with fewer than `FEWEST_RUNS` runs of a question, or where
    runs never differ. Test images are held fixed.

    Args:
        values, questions: (cells,), percent, and the question of each.
    """
    order = np.argsort(questions, kind="stable")
    _, first, counts = np.unique(questions[order], return_index=True, return_counts=True)
    if counts.min() < FEWEST_RUNS:
        return None
    first, runs = np.repeat(first, counts), np.repeat(counts, counts)
    random = np.random.default_rng(0)
    means = []
    for _ in range(RESAMPLES // AT_ONCE):
        places = first + (random.random((AT_ONCE, len(values))) * runs).astype(int)
        means.append(interquartile(values[order][places]))
    samples = np.concatenate(means)
    return Interval(*map(float, tails(samples))) if np.ptp(samples) > LEAST_SPREAD else None


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
