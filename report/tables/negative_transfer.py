"""Negative transfer as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.report.scores.bootstrap import Interval
from bench.report.scores.frame import shots_order
from bench.report.statistics.summary import Difference
from bench.report.tables import formats
from bench.report.tables.leaderboard import Block


@dataclass(frozen=True)
class Harm:
    """Negative transfer of one method in one block: in how many pairs, and in which, the worst first."""

    block: Block
    method: str
    compared: int
    pairs: list[tuple[str, Difference]]

    @property
    def clear(self) -> int:
        """Pairs whose interval leaves out zero."""
        return sum(gap.clear for _, gap in self.pairs)


def harms(table: pd.DataFrame) -> list[Harm]:
    """The table of `bench.report.statistics.summary.negative_transfer` by block and method."""
    found = []
    for (kind, shots, method), rows in table.groupby(["kind", "shots", "method"]):
        compared = rows[rows["cells"] > 0]
        worse = compared[compared["negative"]].sort_values(["points", "pair"])
        pairs = [
            (row.pair, Difference(row.points, _interval(row.low, row.high), row.cells))
            for row in worse.itertuples()
        ]
        found.append(Harm(Block(str(kind), str(shots)), str(method), len(compared), pairs))
    return sorted(found, key=lambda row: (row.block.kind, shots_order(row.block.shots), row.method))


def _interval(low: float | None, high: float | None) -> Interval | None:
    return Interval(low, high) if formats.known(low) and formats.known(high) else None
