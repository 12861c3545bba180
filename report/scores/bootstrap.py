"""Intervals by resampling groups of related test images.

The percentile bootstrap of Efron & Tibshirani (1993), chapter 13, with whole groups as the units that
are drawn (their chapter 8): images of one group stand or fall together, so drawing single images would
claim more evidence than there is. Seeds and pairs are held fixed here; `statistics.uncertainty` adds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from bench.report.scores.predictions import ScoredPredictions

RESAMPLES = 2000
LEVEL = 0.95
LEAST_SPREAD = 1e-9
AT_ONCE = 256
"""Cells that are resampled together: some megabytes."""


class Interval(NamedTuple):
    """Interval of 95 %, in percent or points."""

    low: float
    high: float


@lru_cache(maxsize=8)
def draws(groups: int) -> np.ndarray:
    """Counts of each group in each resample: float32 (RESAMPLES, groups), the same on every call."""
    random = np.random.default_rng(0)
    return random.multinomial(groups, np.full(groups, 1 / groups), size=RESAMPLES).astype(np.float32)


def resampled(cells: Sequence[ScoredPredictions], rule: str) -> np.ndarray:
    """Metric in percent of every cell under the same resamples of groups: (RESAMPLES, cells).

    A group that several cells share is drawn for all of them at once, so that differences between
    cells are paired. NaN where a resample draws none of a cell's groups.
    """
    numbers, index = np.unique(np.concatenate([cell.groups for cell in cells]), return_inverse=True)
    ends = np.cumsum([len(cell.groups) for cell in cells])
    right, total = np.zeros((2, len(cells), len(numbers)), dtype=np.float32)
    for row, (cell, where) in enumerate(zip(cells, np.split(index, ends[:-1]), strict=True)):
        total[row] = np.bincount(where, minlength=len(numbers))
        right[row] = np.bincount(where, weights=cell.credit(rule), minlength=len(numbers))
    weights = draws(len(numbers))
    with np.errstate(invalid="ignore"):
        return np.asarray(100.0 * (weights @ right.T) / (weights @ total.T))


def intervals(cells: Sequence[ScoredPredictions], rule: str) -> list[Interval | None]:
    """Interval of each cell's metric, percent; None where resampling cannot say.

    With a single group, or with every image right, all resamples are alike. That is a want of evidence, not
    an interval of width zero. Cells whose images have the same groups are resampled at once.
    """
    found: list[Interval | None] = [None] * len(cells)
    alike: dict[tuple[str, bytes], list[int]] = {}
    for place, cell in enumerate(cells):
        alike.setdefault((cell.groups.dtype.str, cell.groups.tobytes()), []).append(place)
    for places in alike.values():
        for start in range(0, len(places), AT_ONCE):
            block = places[start : start + AT_ONCE]
            groups = cells[block[0]].groups
            numbers, index = np.unique(groups, return_inverse=True)
            rows = np.arange(len(block))[:, None] * len(numbers) + index
            right = np.stack([cells[place].credit(rule) for place in block])
            counts = np.bincount(rows.ravel(), right.ravel(), len(block) * len(numbers))
            weights = draws(len(numbers))
            total = weights @ np.bincount(index).astype(np.float32)
            samples = 100.0 * (counts.reshape(len(block), -1).astype(np.float32) @ weights.T) / total
            known = np.ptp(samples, axis=1) > LEAST_SPREAD
            for place, varies, low, high in zip(block, known, *tails(samples), strict=True):
                found[place] = Interval(float(low), float(high)) if varies else None
    return found


def count_groups(cells: Sequence[ScoredPredictions]) -> int:
    """Number of groups of related images that the cells have between them."""
    return len(np.unique(np.concatenate([cell.groups for cell in cells])))


def tails(samples: np.ndarray) -> np.ndarray:
    """Ends of the interval of each row of resamples: (..., resamples) -> (2, ...)."""
    tail = 50.0 * (1.0 - LEVEL)
    return np.percentile(samples, [tail, 100.0 - tail], axis=-1)
