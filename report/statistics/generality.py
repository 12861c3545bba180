"""Sources of error of a method's mean, and its interval for other domains than the suite's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.records.selection import HEADLINE
from bench.report.scores.bootstrap import Interval, count_groups, resampled
from bench.report.scores.frame import accuracy_column
from bench.report.statistics.summary import complete, difference, error_of_mean, shared
from bench.report.statistics.uncertainty import Error, domain_error, image_error


@dataclass(frozen=True)
class Spread:
    """Standard errors of a mean accuracy in points, by source; None: it cannot be said.

    interval: of the mean for other images, runs and domains; gain: the same of the gain over the baseline.
    """

    method: str
    images: float | None
    runs: float | None
    domains: float | None
    interval: Interval | None
    gain: Interval | None


def spreads(rows: pd.DataFrame, baseline: str, rule: str = HEADLINE) -> list[Spread]:
    """Errors of every method over the cells that all share, methods by name."""
    needed = [
        "method",
        "status",
        "question",
        "seed",
        "source",
        "target",
        "predictions",
        accuracy_column(rule),
    ]
    cells = shared(rows[needed], rule)
    base = cells[cells["method"] == baseline]
    return [_spread(str(method), mine, base, rule) for method, mine in cells.groupby("method")]


def _spread(method: str, mine: pd.DataFrame, base: pd.DataFrame, rule: str) -> Spread:
    column = accuracy_column(rule)
    values, predictions = mine[column].to_numpy(dtype=float), list(mine["predictions"])
    samples, groups, mean = resampled(predictions, rule), count_groups(predictions), float(values.mean())
    images = image_error(np.nanmean(samples, axis=1), groups)
    places = complete(mine)
    several = len(places) > 0 and places.shape[1] > 1
    runs = float(values[places].mean(axis=0).std(ddof=1) / np.sqrt(places.shape[1])) if several else None
    domains = _domains(mine, column)
    both = error_of_mean(mine, values, samples, groups)
    interval = (both + domains).interval(mean) if both and domains else None
    gain = None
    if len(base) and method != base["method"].iloc[0]:
        gap = difference(mine, base, rule)
        paired = mine.merge(
            base[["question", "seed", column]], on=["question", "seed"], suffixes=("", " other")
        )
        other = _domains(paired.assign(gap=paired[column] - paired[f"{column} other"]), "gap")
        if gap.points is not None and gap.error and other:
            gain = (gap.error + other).interval(gap.points)
    if interval:
        interval = Interval(max(interval.low, 0.0), min(interval.high, 100.0))
    return Spread(
        method,
        images.deviation if images else None,
        runs,
        domains.deviation if domains else None,
        interval,
        gain,
    )


def _domains(cells: pd.DataFrame, column: str) -> Error | None:
    means = cells.groupby(["source", "target"], dropna=False)[column].mean()
    pairs = [(None if pd.isna(source) else source, target) for source, target in means.index]
    return domain_error(means.to_list(), pairs)
