"""Statistics of cells together: shared cells, means, paired differences, negative transfer.

Every function takes rows of `scores.frame.load_frame` and uses `done` cells only. A difference is always
paired: the same question and seed on both sides. Intervals are over test images, and over runs too where
there are several seeds (`bench.report.statistics.uncertainty`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

import numpy as np
import pandas as pd

from bench.records.selection import HEADLINE
from bench.report.scores.bootstrap import Interval, count_groups, resampled
from bench.report.scores.frame import accuracy_column, methods_only
from bench.report.statistics.uncertainty import Error, image_error, run_error

SAME = ("question", "seed")
"""Columns that two cells have in common when only their methods differ."""


Cells: TypeAlias = pd.DataFrame | Mapping[str, np.ndarray]
"""Columns of cells by name."""


@dataclass(frozen=True)
class Difference:
    """Points of accuracy between paired cells, over how many; None or no interval: it cannot be said."""

    points: float | None
    interval: Interval | None
    cells: int
    error: Error | None = None

    @property
    def clear(self) -> bool:
        """True where the interval leaves out zero."""
        return self.interval is not None and not self.interval.low <= 0.0 <= self.interval.high

    @property
    def lower(self) -> bool:
        """True where the first side is the worse one."""
        return self.points is not None and self.points < 0.0


NOTHING = Difference(None, None, 0)


def scored(rows: pd.DataFrame, rule: str = HEADLINE) -> pd.DataFrame:
    """Done cells that `rule` can score."""
    return rows[(rows["status"] == "done") & rows[accuracy_column(rule)].notna()]


def shared(rows: pd.DataFrame, rule: str = HEADLINE) -> pd.DataFrame:
    """Scored cells whose question and seed every method among them has answered too.

    Means over these compare like with like; a method that answered only the easy cells gains nothing.
    """
    cells = scored(rows, rule)
    answered = cells.groupby(list(SAME))["method"].transform("nunique")
    return cells[answered == cells["method"].nunique()]


def complete(cells: Cells) -> np.ndarray:
    """Places of the cells whose question every seed has answered: int (questions, seeds)."""
    questions, seeds = (
        np.unique(np.asarray(cells[name]), return_inverse=True) for name in ("question", "seed")
    )
    places = np.full((len(questions[0]), len(seeds[0])), -1)
    places[questions[1], seeds[1]] = np.arange(len(questions[1]))
    return places[(places >= 0).all(axis=1)]


def error_of_mean(cells: Cells, values: np.ndarray, samples: np.ndarray, groups: int) -> Error | None:
    """Error of the mean of a value that each cell has, through test images and, with several seeds, runs.

    Args:
        cells: rows with `question` and `seed`, at most one for each combination.
        values, samples, groups: see `error_at`.
    """
    return error_at(complete(cells), values, samples, groups)


def error_at(
    places: np.ndarray, values: np.ndarray, samples: np.ndarray, groups: int, pooled: Error | None = None
) -> Error | None:
    """Error of the mean of a value that each cell has, through test images and, with several seeds, runs.

    Runs are compared over the questions that all seeds answered. Where that is none, or with a single seed,
    runs are held fixed.

    Args:
        places: of the cells of those questions, as `complete` finds them.
        values: (cells,), percent or points.
        samples: the same under each resample of the test images, (resamples, cells).
        groups: groups of related test images.
        pooled: see `bench.report.statistics.uncertainty.run_error`.
    """
    if places.shape[0] and places.shape[1] > 1:
        return run_error(values[places].mean(axis=0), np.nanmean(samples[:, places], axis=1), pooled)
    return image_error(np.nanmean(samples, axis=1), groups)


def mean_accuracy(rows: pd.DataFrame, rule: str = HEADLINE) -> tuple[float | None, Interval | None]:
    """Mean test accuracy in percent over the scored cells, and its interval, cut to what is possible."""
    cells = scored(rows, rule)
    if cells.empty:
        return None, None
    values, predictions = cells[accuracy_column(rule)].to_numpy(dtype=float), list(cells["predictions"])
    mean = float(values.mean())
    error = error_of_mean(cells, values, resampled(predictions, rule), count_groups(predictions))
    if error is None:
        return mean, None
    low, high = error.interval(mean)
    return mean, Interval(max(low, 0.0), min(high, 100.0))


def difference(
    rows: pd.DataFrame, others: pd.DataFrame, rule: str = HEADLINE, on: tuple[str, ...] = SAME
) -> Difference:
    """Mean accuracy of `rows` less that of the cells of `others` with the same values of `on`.

    `others` holds at most one cell for each combination of these values.
    """
    column = accuracy_column(rule)
    # By arrays, not by pandas, which takes milliseconds for these few rows, a thousand times a page.
    left, right = (_arrays(part, {*on, *SAME, column, "predictions"}, rule) for part in (rows, others))
    places = {key: place for place, key in enumerate(_keys(right, on))}
    found = [(place, places[key]) for place, key in enumerate(_keys(left, on)) if key in places]
    if not found:
        return NOTHING
    mine_at, theirs_at = (list(rows) for rows in zip(*found, strict=True))
    pairs = {name: left[name][mine_at] for name in SAME}
    gaps = (left[column][mine_at] - right[column][theirs_at]).astype(float)
    predictions = [*left["predictions"][mine_at], *right["predictions"][theirs_at]]
    one, two = np.hsplit(resampled(predictions, rule), 2)
    points = float(gaps.mean())
    error = error_of_mean(pairs, gaps, one - two, count_groups(predictions))
    return Difference(points, error.interval(points) if error else None, len(found), error)


def _arrays(rows: pd.DataFrame, names: Iterable[str], rule: str) -> dict[str, np.ndarray]:
    """Columns of the scored cells among rows."""
    is_scored = np.asarray(rows["status"] == "done") & np.asarray(rows[accuracy_column(rule)].notna())
    return {name: np.asarray(rows[name])[is_scored] for name in names}


def _keys(rows: Mapping[str, np.ndarray], on: tuple[str, ...]) -> Iterator[tuple[object, ...]]:
    return zip(*(rows[name].tolist() for name in on), strict=True)


def seed_deviation(rows: pd.DataFrame, rule: str = HEADLINE) -> float | None:
    """Standard deviation (n - 1) over seeds of the mean accuracy; None for a single seed.

    Over the questions that every seed answered, so that seeds are compared on the same ones.
    """
    cells = scored(rows, rule)
    runs = cells[accuracy_column(rule)].to_numpy(dtype=float)[complete(cells)]
    return float(runs.mean(axis=0).std(ddof=1)) if runs.shape[0] and runs.shape[1] > 1 else None


def controls(rows: pd.DataFrame, everything: pd.DataFrame) -> pd.DataFrame:
    """Cells of a frame that are the controls of some of its rows."""
    return everything[everything["key"].isin(rows["control_key"].dropna())]


def negative_transfer(rows: pd.DataFrame, source_alone: str, rule: str = HEADLINE) -> pd.DataFrame:
    """Negative transfer, after Wang et al. 2019, https://arxiv.org/abs/1811.09751 (section 3).

    With target labels, each method is compared with itself at kind `pretrained` and the same shots; at 0
    shots, methods that adapt to unlabelled target images with their control, which has the same recipe, or
    where that is not there with `source_alone`, which does not adapt.

    Args:
        rows: those of controls among them.

    Returns:
        A row per kind, method, supervision and pair of the cells with a source: `against` (what), `points`,
        `low`, `high` (NaN where they cannot be said), `cells` compared, `negative` (points below zero) and
        `clear` (and the interval too). `cells` is 0 where the cell to compare with is not there.
    """
    by = ["kind", "method", "supervision", "pair"]
    columns = [*by, "against", "points", "low", "high", "cells", "negative", "clear"]
    needed = [*SAME, *by, "goal", "source", "adapts", "status", "predictions"]
    needed += ["key", "control", "control_key", "control_of"]
    everything = scored(rows[[*needed, accuracy_column(rule)]], rule)
    cells = methods_only(everything)
    no_labels = cells["supervision"].map(attrgetter("no_labels")).eq(True)
    used = cells[cells["source"].notna() & (~no_labels | cells["adapts"].eq(True))]
    unlabelled = everything[everything["supervision"].map(attrgetter("no_labels")).eq(True)]
    alone = unlabelled[unlabelled["method"] == source_alone]
    without = dict(tuple(cells[cells["source"].isna()].groupby("method")))
    found = []
    for (kind, method, supervision, pair), mine in used.groupby(by):
        if not supervision.no_labels:
            other, on, against = without.get(method, cells.head(0)), ("goal", "seed"), "without a source"
        elif len(own := controls(mine, unlabelled)):
            other, on, against = own, SAME, mine["control"].iloc[0]
        else:
            other, on, against = alone, SAME, source_alone
        gap = difference(mine, other, rule, on)
        low, high = gap.interval or (np.nan, np.nan)
        points = np.nan if gap.points is None else gap.points
        clear = gap.lower and gap.clear
        found.append(
            (kind, method, supervision, pair, against, points, low, high, gap.cells, gap.lower, clear)
        )
    return pd.DataFrame(found, columns=columns)
