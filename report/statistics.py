"""What the cells say together: shared cells, means, paired differences, negative transfer.

Every function takes rows of `report.frame.load_frame` and looks at `done` cells only. A difference is always
paired: the same question and seed on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.selection import HEADLINE
from report.bootstrap import Interval, difference_interval, mean_interval
from report.frame import accuracy_column

SAME = ("question", "seed")
"""Columns that two cells have in common when only their methods differ."""


@dataclass(frozen=True)
class Difference:
    """Points of accuracy between paired cells, over how many; None or no interval: it cannot be said."""

    points: float | None
    interval: Interval | None
    cells: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval is not None and not self.interval.low <= 0.0 <= self.interval.high

    @property
    def lower(self) -> bool:
        """Whether the first side is the worse one."""
        return self.points is not None and self.points < 0.0


NOTHING = Difference(None, None, 0)


def scored(rows: pd.DataFrame, rule: str = HEADLINE) -> pd.DataFrame:
    """Done cells that `rule` can score."""
    return rows[(rows["status"] == "done") & rows[accuracy_column(rule)].notna()]


def shared(rows: pd.DataFrame, rule: str = HEADLINE) -> pd.DataFrame:
    """The scored cells whose question and seed every method among them has answered too.

    Means over these compare like with like; a method that answered only the easy cells gains nothing.
    """
    cells = scored(rows, rule)
    answered = cells.groupby(list(SAME))["method"].transform("nunique")
    return cells[answered == cells["method"].nunique()]


def mean_accuracy(rows: pd.DataFrame, rule: str = HEADLINE) -> tuple[float | None, Interval | None]:
    """Mean test accuracy in percent over the scored cells, and its interval over test images."""
    cells = scored(rows, rule)
    if cells.empty:
        return None, None
    return float(cells[accuracy_column(rule)].mean()), mean_interval(list(cells["hits"]), rule)


def difference(
    rows: pd.DataFrame, others: pd.DataFrame, rule: str = HEADLINE, on: tuple[str, ...] = SAME
) -> Difference:
    """Mean accuracy of `rows` less that of the cells of `others` with the same values of `on`.

    `others` holds at most one cell for each combination of these values.
    """
    column = accuracy_column(rule)
    pairs = scored(rows, rule).merge(scored(others, rule), on=list(on), suffixes=("", " other"))
    if pairs.empty:
        return NOTHING
    points = float((pairs[column] - pairs[f"{column} other"]).mean())
    interval = difference_interval(list(pairs["hits"]), list(pairs["hits other"]), rule)
    return Difference(points, interval, len(pairs))


def seed_deviation(rows: pd.DataFrame, rule: str = HEADLINE) -> float | None:
    """Standard deviation (n - 1) over seeds of the mean accuracy; None for a single seed.

    Over the questions that every seed answered, so that seeds are compared on the same ones.
    """
    cells = scored(rows, rule)
    wide = cells.pivot_table(index="question", columns="seed", values=accuracy_column(rule)).dropna()
    return float(wide.mean().std(ddof=1)) if wide.shape[0] and wide.shape[1] > 1 else None


def negative_transfer(rows: pd.DataFrame, source_alone: str, rule: str = HEADLINE) -> pd.DataFrame:
    """Where a source did harm, after Wang et al. 2019, https://arxiv.org/abs/1811.09751 (section 3).

    With target labels, each method is compared with itself at kind `pretrained` and the same shots; at 0
    shots, methods that adapt to unlabelled target images with `source_alone`, which does not.

    Returns:
        A row per kind, method, shots and pair of the cells with a source: `points`, `low`, `high` (NaN where
        they cannot be said), `cells` compared, `negative` (points below zero) and `clear` (and the
        interval too). `cells` is 0 where the cell to compare with is not there.
    """
    columns = ["kind", "method", "shots", "pair", "points", "low", "high", "cells", "negative", "clear"]
    cells = scored(rows, rule)
    used = cells[cells["source"].notna()]
    used = used[(used["shots"] != "0") | used["adapts"].eq(True)]
    found = []
    for (kind, method, shots, pair), mine in used.groupby(["kind", "method", "shots", "pair"]):
        if shots == "0":
            other, on = cells[(cells["method"] == source_alone) & (cells["shots"] == "0")], SAME
        else:
            other, on = cells[(cells["method"] == method) & cells["source"].isna()], ("goal", "seed")
        gap = difference(mine, other, rule, on)
        low, high = gap.interval or (np.nan, np.nan)
        points = np.nan if gap.points is None else gap.points
        clear = gap.lower and gap.clear
        found.append((kind, method, shots, pair, points, low, high, gap.cells, gap.lower, clear))
    return pd.DataFrame(found, columns=columns)
