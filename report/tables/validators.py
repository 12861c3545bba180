"""Rank correlation of validators with accuracy, and distances of domains before and after training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from bench.records.record import Evaluation
from bench.records.selection import label_free_scores
from bench.report.tables.leaderboard import Block
from bench.spec.rules import LABEL_FREE

FEWEST = 3
"""Evaluations of a run below which a rank correlation says nothing."""


@dataclass(frozen=True)
class Ranking:
    """Rank correlation of a validator with accuracy: means over cells, in [-1, 1]; None: no cell.

    `worst` is the lowest correlation (Spearman's) in a cell; `unordered` counts cells with enough
    evaluations where the validator or the accuracy is the same at all of them.
    """

    validator: str
    spearman: float | None
    kendall: float | None
    worst: float | None
    cells: int
    unordered: int


def rankings(frame: pd.DataFrame) -> list[Ranking]:
    """Rank correlation of each validator with target test accuracy over a last stage's evaluations.

    Rules choose among those. Best first. Shown to judge validators by; nothing is chosen by it. Collapsed
    evaluations rank below all others, as the rules see them.
    """
    done = frame.loc[frame["status"] == "done", "evaluations"]
    last = ([each for each in run if each.stage == run[-1].stage] for run in done)
    runs = [evaluations for evaluations in last if len(evaluations) >= FEWEST]
    found = [_ranking(name, list(_scores(runs, name))) for name in LABEL_FREE]
    return sorted(found, key=lambda row: (row.spearman is None, -(row.spearman or 0.0)))


def _scores(runs: Sequence[Sequence[Evaluation]], name: str) -> Iterator[tuple[list[float], list[float]]]:
    """(the validator's scores, accuracies) of every run in which it has a score at each evaluation."""
    for evaluations in runs:
        known = [score for score in label_free_scores(evaluations, name) if score is not None]
        if len(known) == len(evaluations):
            yield known, [each.tested for each in evaluations]


def _ranking(name: str, pairs: list[tuple[list[float], list[float]]]) -> Ranking:
    # A rank correlation needs an order on both sides.
    ordered = [(a, b) for a, b in pairs if len(set(a)) > 1 and len(set(b)) > 1]
    if not ordered:
        return Ranking(name, None, None, None, 0, len(pairs))
    spearman = [float(stats.spearmanr(stats.rankdata(a), b).statistic) for a, b in ordered]
    kendall = [float(stats.kendalltau(stats.rankdata(a), b).statistic) for a, b in ordered]
    return Ranking(
        name,
        float(np.mean(spearman)),
        float(np.mean(kendall)),
        min(spearman),
        len(ordered),
        len(pairs) - len(ordered),
    )


@dataclass(frozen=True)
class Discrepancy:
    """Distances of domains of one method in one block: means before training and at the last evaluation."""

    block: Block
    method: str
    before: dict[str, float]
    after: dict[str, float]
    cells: int


def distances(frame: pd.DataFrame) -> list[Discrepancy]:
    """Discrepancy before and after, by kind, supervision and method, over the done cells that have both.

    Each distance is over the cells that have it at both times.
    """
    done = frame[(frame["status"] == "done") & frame["discrepancy_before"].map(bool)]
    found = []
    for (kind, supervision, method), rows in done.groupby(["kind", "supervision", "method"]):
        before = pd.DataFrame(list(rows["discrepancy_before"]))
        after = pd.DataFrame([evaluations[-1].discrepancy for evaluations in rows["evaluations"]])
        known = {str(name): (before[name].notna() & after[name].notna()) for name in before if name in after}
        both = {name: cells for name, cells in known.items() if cells.any()}
        if not both:
            continue
        start, end = (
            {name: float(part[name][cells].mean()) for name, cells in both.items()}
            for part in (before, after)
        )
        count = int(pd.DataFrame(both).any(axis=1).sum())
        found.append(Discrepancy(Block(str(kind), supervision), str(method), start, end, count))
    return found


def correlation(value: float | None) -> str:
    """`+0.42`, `−0.10`, or a dash."""
    if value is None or math.isnan(value):
        return "–"
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")
