"""How well validators rank the looks of a run; how far apart source and target are before and after it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from bench.records.record import Evaluation
from bench.records.selection import validator_scores
from bench.report.tables.leaderboard import Block
from bench.spec.rules import VALIDATORS

FEWEST = 3
"""Looks of a run below which a rank correlation says nothing."""


@dataclass(frozen=True)
class Ranking:
    """One validator: means over cells of its rank correlation with accuracy, in [-1, 1]; None: no cell.

    `worst` is the lowest correlation (Spearman's) in a cell; `unsaid` counts cells with enough looks
    where the validator or the accuracy is the same at all of them.
    """

    validator: str
    spearman: float | None
    kendall: float | None
    worst: float | None
    cells: int
    unsaid: int


def rankings(frame: pd.DataFrame) -> list[Ranking]:
    """Each validator's rank correlation with target test accuracy over the looks of a cell, best first.

    Shown to judge validators by; nothing is chosen by it. Collapsed looks rank below all others, as the
    rules see them.
    """
    runs = [looks for looks in frame.loc[frame["status"] == "done", "evaluations"] if len(looks) >= FEWEST]
    found = [_ranking(name, list(_scores(runs, name))) for name in ("source-val", *VALIDATORS)]
    return sorted(found, key=lambda row: (row.spearman is None, -(row.spearman or 0.0)))


def _scores(runs: Sequence[Sequence[Evaluation]], name: str) -> Iterator[tuple[list[float], list[float]]]:
    """(the validator's scores, accuracies) of every run where it has said something at each look."""
    for looks in runs:
        scores = (
            [look.accuracy.get("source-validation") for look in looks]
            if name == "source-val"
            else validator_scores(looks, name)
        )
        known = [score for score in scores if score is not None]
        if len(known) == len(looks):
            yield known, [look.accuracy["target-test"] for look in looks]


def _ranking(name: str, pairs: list[tuple[list[float], list[float]]]) -> Ranking:
    # A rank correlation needs an order on both sides.
    told = [(a, b) for a, b in pairs if len(set(a)) > 1 and len(set(b)) > 1]
    if not told:
        return Ranking(name, None, None, None, 0, len(pairs))
    spearman = [float(stats.spearmanr(stats.rankdata(a), b).statistic) for a, b in told]
    kendall = [float(stats.kendalltau(stats.rankdata(a), b).statistic) for a, b in told]
    return Ranking(
        name,
        float(np.mean(spearman)),
        float(np.mean(kendall)),
        min(spearman),
        len(told),
        len(pairs) - len(told),
    )


@dataclass(frozen=True)
class Apart:
    """One method in one kind at some shots: a distance's mean before training and at the last look."""

    block: Block
    method: str
    before: dict[str, float]
    after: dict[str, float]
    cells: int


def distances(frame: pd.DataFrame) -> list[Apart]:
    """Discrepancy before and after, by kind, shots and method, over the done cells that have both."""
    done = frame[(frame["status"] == "done") & frame["discrepancy_before"].map(bool)]
    found = []
    for (kind, shots, method), rows in done.groupby(["kind", "shots", "method"]):
        before = pd.DataFrame(list(rows["discrepancy_before"]))
        after = pd.DataFrame([looks[-1].discrepancy for looks in rows["evaluations"]])
        both = [name for name in before if name in after]
        if not both:
            continue
        start, end = ({str(name): float(part[name].mean()) for name in both} for part in (before, after))
        found.append(Apart(Block(str(kind), str(shots)), str(method), start, end, len(rows)))
    return found


def correlation(value: float | None) -> str:
    """`+0.42`, `−0.10`, or a dash."""
    if value is None or math.isnan(value):
        return "–"
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")
