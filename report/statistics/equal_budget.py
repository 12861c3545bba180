"""Methods at equal budget: what each had reached when all had spent as much.

Each method counts by its last evaluation within the largest budget that all have reached. A closed form is
complete at what it cost, and limits nobody. Rates of learning had not fallen yet where a run is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.report.scores.spending import MEASURES, Spending
from bench.report.statistics.summary import scored


@dataclass(frozen=True)
class AtBudget:
    """Means of one method over the cells that all share: accuracies in percent.

    spent: of the budget's measure, at the evaluations that count.
    cut: evaluations that count, where they are not the last, as `target 50`, with commas.
    """

    method: str
    accuracy: float
    final: float
    spent: float
    cut: str


@dataclass(frozen=True)
class EqualBudget:
    """Methods of a block at an equal budget, best first.

    budget: the median over cells. beyond: methods whose first evaluation comes after it, and what they had
    spent at it; they are not ranked. cells: how many each method has.
    """

    measure: str
    budget: float
    rows: tuple[AtBudget, ...]
    beyond: tuple[tuple[str, float], ...]
    cells: int

    @property
    def size(self) -> str:
        """The budget in words, as `9,600 items`."""
        return self.text(self.budget)

    def text(self, spent: float) -> str:
        """A part of the budget in words, as `9,600 items` or `31.5 seconds`."""
        return f"{spent:,.0f} {self.measure}" if spent >= 100 else f"{spent:.3g} {self.measure}"


def equal_budgets(rows: pd.DataFrame) -> list[EqualBudget]:
    """Methods of a block at equal steps, items and seconds; without what records do not say."""
    found = [equal_budget(rows, measure) for measure in MEASURES]
    return [each for each in found if each]


def equal_budget(rows: pd.DataFrame, measure: str) -> EqualBudget | None:
    """Methods of a block at equal budget; None where fewer than two have cells in common.

    Args:
        rows: of one block of `scores.frame.load_frame`.
        measure: one of `scores.spending.MEASURES`.
    """
    cells = scored(rows)[["method", "question", "seed", "spending"]]
    cells = cells[cells["spending"].map(bool).eq(True)]
    answered = cells.groupby(["question", "seed"])["method"].transform("nunique")
    cells = cells[answered == cells["method"].nunique()]
    if cells["method"].nunique() < 2:
        return None
    limits, within = [], []
    beyond: dict[str, list[float]] = {}
    for _, group in cells.groupby(["question", "seed"]):
        limit = _limit(group["spending"].tolist(), measure)
        limits.append(limit)
        for method, spent in zip(group["method"], group["spending"], strict=True):
            reached = [each for each in spent if getattr(each, measure) <= limit * (1 + 1e-9)]
            if reached:
                within.append((method, reached[-1], spent[-1]))
            else:
                beyond.setdefault(method, []).append(getattr(spent[0], measure))
    ranked = [method for method in cells["method"].unique() if method not in beyond]
    table = [_at_budget(method, measure, within) for method in ranked]
    return EqualBudget(
        measure=measure,
        budget=float(pd.Series(limits).median()),
        rows=tuple(sorted(table, key=lambda row: (-row.accuracy, row.method))),
        beyond=tuple((method, float(pd.Series(first).mean())) for method, first in sorted(beyond.items())),
        cells=len(limits),
    )


def _limit(cells: Sequence[tuple[Spending, ...]], measure: str) -> float:
    """Largest budget that all of these cells have reached which train by steps."""
    ends: list[float] = [getattr(spent[-1], measure) for spent in cells]
    trained = [end for end, spent in zip(ends, cells, strict=True) if spent[-1].trains]
    return min(trained) if trained else max(ends)


def _at_budget(method: str, measure: str, within: Sequence[tuple[str, Spending, Spending]]) -> AtBudget:
    mine = [(counted, last) for name, counted, last in within if name == method]
    cuts = sorted({(counted.stage, counted.step) for counted, last in mine if counted != last})

    def mean(values: list[float]) -> float:
        return float(pd.Series(values).mean())

    return AtBudget(
        method=str(method),
        accuracy=mean([counted.accuracy for counted, _ in mine]),
        final=mean([last.accuracy for _, last in mine]),
        spent=mean([getattr(counted, measure) for counted, _ in mine]),
        cut=", ".join(f"{stage} {step}" for stage, step in cuts),
    )
