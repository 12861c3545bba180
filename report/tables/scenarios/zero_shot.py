"""Table of classes that are known by their names alone: how often the right name is first, or among a few."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.records.selection import HEADLINE
from bench.report.scores.frame import accuracy_column
from bench.report.statistics.summary import shared


@dataclass(frozen=True)
class NameRow:
    """Recall of one method, percent, means over `cells`; `chance`: of guessing among the names."""

    method: str
    first: float
    few: float
    chance: float
    cells: int


def name_rows(rows: pd.DataFrame, rule: str = HEADLINE) -> list[NameRow]:
    """Recalls of methods over the cells of one kind that all share, best first; none of another kind."""
    cells = shared(rows, rule)
    if cells["recall_5"].isna().all():
        return []
    found = [
        NameRow(
            str(method),
            float(mine[accuracy_column(rule)].mean()),
            float(mine["recall_5"].mean()),
            float((100 / mine["classes"]).mean()),
            len(mine),
        )
        for method, mine in cells.groupby("method")
    ]
    return sorted(found, key=lambda row: (-row.first, row.method))
