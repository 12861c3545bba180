"""Classes that a method wins or loses against the baseline, and those that it confuses."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from bench.records.selection import HEADLINE
from bench.report.statistics.measures import by_class
from bench.report.statistics.summary import shared

NAMED = 3
"""Classes and confusions named per method."""


@dataclass(frozen=True)
class Gap:
    """Class and how many points of its accuracy a method has more than the baseline."""

    name: str
    points: float


@dataclass(frozen=True)
class Confusion:
    """Images of class `true` that were taken for `predicted`: how many, and percent of the class's images."""

    true: str
    predicted: str
    images: int
    share: float


@dataclass(frozen=True)
class ByClass:
    """Classes of one method in a block, over the cells that all methods share; largest gaps first."""

    method: str
    won: list[Gap]
    lost: list[Gap]
    confused: list[Confusion]

    @property
    def names(self) -> set[str]:
        """Classes that are named."""
        return {
            *(gap.name for gap in [*self.won, *self.lost]),
            *(name for pair in self.confused for name in (pair.true, pair.predicted)),
        }


def winners_and_losers(rows: pd.DataFrame, baseline: str, rule: str = HEADLINE) -> list[ByClass]:
    """Gaps and confusions of every method of a block, by name; without the baseline only confusions."""
    cells = shared(rows, rule)
    table = by_class(rows, rule)
    found = []
    for method, mine in cells.groupby("method"):
        won: list[Gap] = []
        lost: list[Gap] = []
        if baseline in table and method != baseline:
            gaps = (table[method] - table[baseline]).dropna().sort_values(kind="stable")
            lost = [Gap(str(name), float(value)) for name, value in gaps.head(NAMED).items() if value < 0]
            best = gaps[::-1].head(NAMED)
            won = [Gap(str(name), float(value)) for name, value in best.items() if value > 0]
        found.append(ByClass(str(method), won, lost, confusions(mine, rule)))
    return found


def confusions(cells: pd.DataFrame, rule: str = HEADLINE, most: int = NAMED) -> list[Confusion]:
    """Most frequent confusions over all test images of these cells, at least two images each."""
    wrong: Counter[tuple[str, str]] = Counter()
    images: Counter[str] = Counter()
    for names, cell in zip(cells["class_names"], cells["predictions"], strict=True):
        predicted, labels = cell.per_image[rule].predicted, cell.labels
        images.update(names[label] for label in labels.tolist())
        missed = (predicted != labels) & (predicted >= 0)
        pairs = zip(labels[missed].tolist(), predicted[missed].tolist(), strict=True)
        wrong.update((names[label], names[other]) for label, other in pairs)
    often = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:most]
    return [
        Confusion(true, predicted, count, 100.0 * count / images[true])
        for (true, predicted), count in often
        if count > 1
    ]
