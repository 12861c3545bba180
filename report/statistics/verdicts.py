"""Verdicts on findings of papers: a comparison's interval against the smallest effect that matters.

A difference counts as reproduced where its interval leaves out zero on the expected side and its estimate
reaches the margin, and as not reproduced where the interval lies short of the margin, so that an effect of
that size is ruled out. Of two that are to be equal, the interval must lie within the margin on both sides
(Schuirmann 1987), or outside of it. All else is too small to tell, and so are fewer than three seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from bench.core.text import counted
from bench.records.record import Evaluation
from bench.records.selection import best
from bench.report.scores.bootstrap import LEVEL, Interval, count_groups, resampled
from bench.report.scores.frame import accuracy_column
from bench.report.statistics.summary import complete, error_of_mean
from bench.report.statistics.uncertainty import Error, image_error
from bench.spec.findings import Comparison, Ranking, Term
from bench.spec.stages import Partition

Verdict = Literal["reproduced", "not reproduced", "too small to tell", "not run"]

ALMOST = 0.99
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
        if reason := undone(part):
            return Measured("not run", reason)
        if _unit(part).duplicated().any():
            return Measured("not run", "the finding does not say which of several cells it is about")
    aligned = _aligned(rows)
    cells = aligned[0]
    values = [_values(comparison, term, part) for term, part in zip(comparison.terms, aligned, strict=True)]
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


NETWORKS = 6
"""Fewest networks of a verdict on how they are ranked."""


def agreement(ranking: Ranking, scores: pd.Series, cells: pd.DataFrame) -> Measured:
    """Measure how a score ranks networks, and judge it.

    The interval of the correlation is over networks: Fisher's transformation with the variance of Fieller et
    al. (1957), 1.06 / (n - 3).

    Args:
        ranking: what is asked.
        scores: of each network, by its name.
        cells: rows of the probe on each of them.
    """
    accuracy = cells.groupby("backbone")[accuracy_column("last")].mean().reindex(scores.index)
    correlation = float(stats.spearmanr(scores.round(6), accuracy.round(6)).statistic)
    count, seeds = len(scores), cells["seed"].nunique()
    if count < NETWORKS or np.isnan(correlation):
        return Measured("too small to tell", f"{count} of {NETWORKS} networks that differ", seeds=seeds)
    half = float(stats.norm.ppf(0.5 + LEVEL / 2)) * np.sqrt(1.06 / (count - 3))
    # A correlation of one has no interval.
    middle = np.arctanh(np.clip(correlation, -ALMOST, ALMOST))
    interval = Interval(float(np.tanh(middle - half)), float(np.tanh(middle + half)))
    verdict, why = judge(ranking, correlation, interval, seeds)
    return Measured(verdict, why, correlation, interval, None, cells["pair"].nunique(), seeds)


def judge(
    asked: Comparison | Ranking, points: float, interval: Interval | None, seeds: int
) -> tuple[Verdict, str]:
    """Judge a measurement by its interval: the verdict, and why it is not a clearer one."""
    if seeds < SEEDS:
        return "too small to tell", f"{seeds} of {SEEDS} seeds"
    if interval is None:
        return "too small to tell", "nothing varies"
    margin = asked.margin
    if asked.expected == "equal":
        if -margin < interval.low and interval.high < margin:
            return "reproduced", ""
        apart = interval.low > margin or interval.high < -margin
        return ("not reproduced", "") if apart else ("too small to tell", "")
    sign = 1.0 if asked.expected == "higher" else -1.0
    low, high = sorted((sign * interval.low, sign * interval.high))
    if low > 0.0 and sign * points >= margin:
        return "reproduced", ""
    return ("not reproduced", "") if high < margin else ("too small to tell", "")


def undone(cells: pd.DataFrame) -> str:
    """Reason why cells cannot be measured; empty where all are done."""
    rest = cells[cells["status"] != "done"]
    if rest.empty:
        return "it asks for no cell" if cells.empty else ""
    row = rest.iloc[0]
    return f"{counted(len(rest), 'cell')} {row['status']}: {row['reason']}"


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


def _values(comparison: Comparison, term: Term, cells: pd.DataFrame) -> np.ndarray:
    """Value of each cell, percent."""
    if comparison.measure == "parameters trained":
        return 100.0 * (cells["parameters_trained"] / cells["parameters"]).to_numpy(dtype=float)
    if comparison.measure == "source accuracy":
        return np.array([_accuracy(each[-1], "source-validation") for each in cells["evaluations"]])
    if not term.guarded:
        chosen = [_unguarded(each, term.rule) for each in cells["evaluations"]]
        return np.array([100.0 * each.tested if each else np.nan for each in chosen])
    return cells[accuracy_column(term.rule)].to_numpy(dtype=float)


def _unguarded(evaluations: Sequence[Evaluation], validator: str) -> Evaluation | None:
    """Evaluation with the highest score of a validator, whether it has collapsed or not."""
    place = best([each.validators.get(validator) for each in evaluations])
    return None if place is None else evaluations[place]


def _accuracy(evaluation: Evaluation, partition: Partition) -> float:
    return 100.0 * evaluation.accuracy.get(partition, np.nan)


def _error(comparison: Comparison, aligned: Sequence[pd.DataFrame], gaps: np.ndarray) -> Error | None:
    """Error of the mean, through seeds, and through test images where their predictions are stored."""
    cells = aligned[0].assign(question=aligned[0]["pair"])
    if comparison.measure != "accuracy" or not all(term.guarded for term in comparison.terms):
        places = complete(cells)
        runs = gaps[places].mean(axis=0) if len(places) else np.empty(0)
        variance = float(np.var(runs, ddof=1)) / len(runs) if len(runs) > 1 else 0.0
        return Error(variance, len(runs) - 1) if variance > 1e-9 else None
    predictions = [each for part in aligned for each in part["predictions"]]
    columns = np.split(np.arange(len(predictions)), len(aligned))
    by_rule = {rule: resampled(predictions, rule) for rule in {term.rule for term in comparison.terms}}
    samples = [by_rule[term.rule][:, own] for term, own in zip(comparison.terms, columns, strict=True)]
    together, groups = _signed_sum(comparison, samples), count_groups(predictions)
    # Runs that differ by the same are no error of zero: other images may say otherwise.
    return error_of_mean(cells, gaps, together, groups) or image_error(np.nanmean(together, axis=1), groups)
