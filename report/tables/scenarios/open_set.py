"""Table of targets that have classes that the source lacks: known ones, unknown ones, and both."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.records.selection import HEADLINE
from bench.report.scores.frame import OPEN
from bench.report.statistics.summary import shared


@dataclass(frozen=True)
class OpenRow:
    """Scores of one method (`bench.report.scores.open_set.OpenScores`), percent, means over `cells`."""

    method: str
    hos: float
    os_star: float
    unk: float
    os: float
    cells: int


def open_rows(rows: pd.DataFrame, rule: str = HEADLINE) -> list[OpenRow]:
    """Scores of methods over the cells of one kind that all share, best first; none of another kind."""
    cells = shared(rows, rule)
    if cells["hos"].isna().all():
        return []
    found = [
        OpenRow(str(method), **mine[list(OPEN)].mean().to_dict(), cells=len(mine))
        for method, mine in cells.groupby("method")
    ]
    return sorted(found, key=lambda row: (-row.hos, row.method))
