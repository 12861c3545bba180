"""Average ranks of methods over questions, Friedman's test and Nemenyi's critical difference.

Demšar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets", sections 3.2.1 and 3.2.2. The
questions of a suite share domains and are not independent, as these tests take them to be: ranks describe,
and the comparisons of `bench.report.statistics.pairwise` decide.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from bench.records.selection import HEADLINE
from bench.report.scores.bootstrap import LEVEL
from bench.report.scores.frame import accuracy_column
from bench.report.statistics.summary import shared


@dataclass(frozen=True)
class Ranks:
    """Average rank by method, 1 the best; ties share the mean of their ranks.

    questions: over how many questions, each the mean of its seeds.
    p: Friedman's test in the form of Iman & Davenport (1980); None where it cannot be said.
    critical: Nemenyi's critical difference of two average ranks at the 5 % level; None likewise.
    why: what cannot be said, and why; empty when all can.
    """

    mean: dict[str, float]
    questions: int
    p: float | None
    critical: float | None
    why: str = ""

    @property
    def groups(self) -> list[tuple[int, int]]:
        """First and last place of the largest groups of methods that the test does not tell apart."""
        if self.critical is None:
            return []
        ranks = list(self.mean.values())
        lasts = [bisect_right(ranks, rank + self.critical) - 1 for rank in ranks]
        known = [-1, *lasts]
        return [(place, last) for place, last in enumerate(lasts) if last > max(place, known[place])]


def average_ranks(rows: pd.DataFrame, rule: str = HEADLINE) -> Ranks:
    """Ranks over the cells that all methods share."""
    table = shared(rows, rule).pivot_table(index="question", columns="method", values=accuracy_column(rule))
    # Accuracies of like counts of images may differ in the last digit of their means.
    ranks = pd.DataFrame(stats.rankdata(-table.round(6), axis=1), table.index, table.columns)
    questions, methods = table.shape
    mean = {str(name): float(rank) for name, rank in ranks.mean().sort_values().items()}
    if methods < 3:
        return Ranks(mean, questions, None, None, "Ranks are tested for three methods or more.")
    if questions < 2:
        return Ranks(mean, questions, None, None, "One question: how ranks vary cannot be said.")
    if (ranks.std(axis=1) == 0.0).all():
        return Ranks(
            mean, questions, None, None, "All methods tie on every question: there is nothing to rank."
        )
    statistic = float(stats.friedmanchisquare(*table.round(6).to_numpy().T).statistic)
    rest = questions * (methods - 1) - statistic
    ratio = (questions - 1) * statistic / rest if rest > 1e-9 else np.inf
    p = float(stats.f.sf(ratio, methods - 1, (methods - 1) * (questions - 1)))
    spread = np.sqrt(methods * (methods + 1) / (6 * questions))
    critical = float(stats.studentized_range.ppf(LEVEL, methods, np.inf) / np.sqrt(2) * spread)
    return Ranks(mean, questions, p, critical)
