"""Targets of kinds that pool their sources: the mean, the worst, and the best single source."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.records.selection import HEADLINE
from bench.report.scores.frame import accuracy_column
from bench.report.statistics.summary import scored, shared
from bench.report.tables.leaderboard import Block
from bench.spec.cell import TOGETHER
from bench.spec.scenarios import KINDS

ALONE = "cross-domain"
"""Kind of the cells with one source."""


@dataclass(frozen=True)
class TargetScores:
    """Accuracy of one method by target, percent: the mean over `targets`, and that of the `hardest` one.

    single: mean over `compared` pools and targets of the best single source of the pool, by test accuracy, as
        published tables have it: nobody knows it beforehand. Over the seeds that the pool and all of its
        sources have; None where there is none, or not all sources of a pool ran alone.
    gain: points that the sources together are above it.
    """

    method: str
    targets: int
    mean: float
    worst: float
    hardest: str
    single: float | None
    gain: float | None
    compared: int


def by_target(frame: pd.DataFrame, block: Block, rule: str = HEADLINE) -> list[TargetScores]:
    """Scores of a block's methods over the cells that all share, best first; none of single sources."""
    if not KINDS[block.kind].pools_sources:
        return []
    column = accuracy_column(rule)
    alone = scored(frame[frame["kind"] == ALONE], rule)
    singles = {
        key: mine.groupby("seed")[column].mean() for key, mine in alone.groupby(["method", "goal", "source"])
    }
    found = []
    for method, mine in shared(block.of(frame), rule).groupby("method"):
        means = mine.groupby("target")[column].mean()
        beside = []
        for (goal, pool), cells in mine.groupby(["goal", "source"]):
            known = [singles.get((method, goal, one)) for one in pool.split(TOGETHER)]
            if any(each is None for each in known):
                continue
            # Over the seeds that all of them have: what one seed gives is no gain of the pool.
            runs = pd.concat([cells.groupby("seed")[column].mean(), *known], axis=1, join="inner").mean()
            if runs.notna().all():
                beside.append((float(runs.iloc[0]), float(runs.iloc[1:].max())))
        together, single = (
            (sum(side) / len(beside) for side in zip(*beside, strict=True)) if beside else (0.0, None)
        )
        found.append(
            TargetScores(
                method=str(method),
                targets=len(means),
                mean=float(means.mean()),
                worst=float(means.min()),
                hardest=str(means.idxmin()),
                single=single,
                gain=None if single is None else together - single,
                compared=len(beside),
            )
        )
    return sorted(found, key=lambda row: (-row.mean, row.method))
