"""Verdicts on findings of papers: a comparison's interval against the smallest effect that matters.

A difference counts as reproduced where its interval leaves out zero on the expected side and its estimate
reaches the margin, and as not reproduced where the interval lies short of the margin, so that an effect of
that size is ruled out. Of two that are to be equal, the interval must lie within the margin on both sides
(Schuirmann 1987), or outside of it. All else is too small to tell, and so are fewer than three seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from bench.core.text import counted
from bench.report.scores.bootstrap import Interval, count_groups, resampled
from bench.report.scores.frame import accuracy_column
from bench.report.statistics.summary import complete, error_of_mean
from bench.report.statistics.uncertainty import Error
from bench.spec.findings import Comparison

Verdict = Literal["reproduced", "not reproduced", "too small to tell", "not run"]

SEEDS = 3
"""Fewest seeds of a verdict."""


@dataclass(frozen=True)
class Measured:
    """Measured difference in points, over pairs of domains and seeds, with its verdict and the reason."""

    verdict: Verdict
    why: str = ""
    points: float | None = None
    interval: Interval | None = None
    sides: tuple[float, float] | None = None
    """Means of both sides in percent, where each is of one method."""
    pairs: int = 0
    seeds: int = 0


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Verdict on a finding with these: the worst that can be told, or what could not be."""
    order: tuple[Verdict, ...] = ("not reproduced", "not run", "too small to tell", "reproduced")
    return min(verdicts, key=order.index)


def measure(comparison: Comparison, rows: Sequence[pd.DataFrame]) -> Measured:
    """Measure a comparison and judge it.

    Args:
        comparison: what is compared.
        rows: of `bench.report.scores.frame.load_frame`, the cells of each term, those of `plus` first.
    """
    for part in rows:
        undone = part[part["status"] != "done"]
        if not undone.empty or part.empty:
            return Measured("not run", _reason(undone))
        if _unit(part).duplicated().any():
            return Measured("not run", "the finding does not say which of several cells it is about")
    aligned = _aligned(rows)
    cells = aligned[0]
    values = [_values(comparison, term.rule, p) for term, p in zip(comparison.terms, aligned, strict=True)]
    gaps = _signed_sum(comparison, values)
    if not len(cells) or np.isnan(gaps).any():
        return Measured("not run", "no pair and seed has all of its cells")
    points = float(gaps.mean())
    error = _error(comparison, aligned, gaps)
    steady = float(np.ptp(gaps)) < 1e-9
    interval = error.interval(points) if error else Interval(points, points) if steady else None
    seeds = cells["seed"].nunique()
    verdict, why = judge(comparison, points, interval, seeds)
    sides = (float(values[0].mean()), float(values[-1].mean())) if len(values) == 2 else None
    return Measured(verdict, why, points, interval, sides, cells["pair"].nunique(), seeds)


def judge(
    comparison: Comparison, points: float, interval: Interval | None, seeds: int
) -> tuple[Verdict, str]:
    """Judge a difference by its interval: the verdict, and why it is not a clearer one."""
    if seeds < SEEDS:
        return "too small to tell", f"{seeds} of {SEEDS} seeds"
    if interval is None:
        return "too small to tell", "nothing varies"
    margin = comparison.margin
    if comparison.expected == "equal":
        if -margin < interval.low and interval.high < margin:
            return "reproduced", ""
        apart = interval.low > margin or interval.high < -margin
        return ("not reproduced", "") if apart else ("too small to tell", "")
    sign = 1.0 if comparison.expected == "higher" else -1.0
    low, high = sorted((sign * interval.low, sign * interval.high))
    if low > 0.0 and sign * points >= margin:
        return "reproduced", ""
    return ("not reproduced", "") if high < margin else ("too small to tell", "")


def _reason(undone: pd.DataFrame) -> str:
    if undone.empty:
        return "it asks for no cell"
    row = undone.iloc[0]
    return f"{counted(len(undone), 'cell')} {row['status']}: {row['reason']}"


def _aligned(rows: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Rows of the domains and seeds that all terms have, in one order."""
    indexed = [part.set_index(_unit(part)).sort_index() for part in rows]
    common = indexed[0].index
    for part in indexed[1:]:
        common = common.intersection(part.index)
    return [part.loc[common].reset_index(drop=True) for part in indexed]


def _unit(cells: pd.DataFrame) -> pd.MultiIndex:
    """Domains and seed of each cell; the target alone where there is no other domain."""
    across = cells["source"].notna() & (cells["source"] != cells["target"])
    return pd.MultiIndex.from_arrays([cells["pair"].where(across, cells["target"]), cells["seed"]])


def _signed_sum(comparison: Comparison, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Sum of `plus` less that of `minus`: two of each are a difference of differences."""
    half = len(comparison.plus)
    return np.asarray(np.sum(parts[:half], axis=0) - np.sum(parts[half:], axis=0))


def _values(comparison: Comparison, rule: str, cells: pd.DataFrame) -> np.ndarray:
    """Value of each cell, percent."""
    if comparison.measure == "accuracy":
        return cells[accuracy_column(rule)].to_numpy(dtype=float)
    if comparison.measure == "parameters trained":
        return 100.0 * (cells["parameters_trained"] / cells["parameters"]).to_numpy(dtype=float)
    return np.array([_source_accuracy(evaluations) for evaluations in cells["evaluations"]])


def _source_accuracy(evaluations: Sequence[Any]) -> float:
    return 100.0 * float(evaluations[-1].accuracy.get("source-validation", np.nan))


def _error(comparison: Comparison, aligned: Sequence[pd.DataFrame], gaps: np.ndarray) -> Error | None:
    """Error of the mean, through seeds, and through test images where accuracy on them is compared."""
    cells = aligned[0].assign(question=aligned[0]["pair"])
    if comparison.measure != "accuracy":
        places = complete(cells)
        runs = gaps[places].mean(axis=0) if len(places) else np.empty(0)
        variance = float(np.var(runs, ddof=1)) / len(runs) if len(runs) > 1 else 0.0
        return Error(variance, len(runs) - 1) if variance > 1e-9 else None
    predictions = [each for part in aligned for each in part["predictions"]]
    columns = np.split(np.arange(len(predictions)), len(aligned))
    by_rule = {rule: resampled(predictions, rule) for rule in {term.rule for term in comparison.terms}}
    samples = [by_rule[term.rule][:, own] for term, own in zip(comparison.terms, columns, strict=True)]
    return error_of_mean(cells, gaps, _signed_sum(comparison, samples), count_groups(predictions))
