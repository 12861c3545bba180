"""Negative transfer as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.report.scores.bootstrap import Interval
from bench.report.statistics.summary import Difference
from bench.report.tables import formats
from bench.report.tables.leaderboard import Block


@dataclass(frozen=True)
class NegativeTransfer:
    """Pairs of one block in which one method has negative transfer, the worst first."""

    block: Block
    method: str
    against: str
    compared: int
    pairs: list[tuple[str, Difference]]

    @property
    def clear(self) -> int:
        """Pairs whose interval leaves out zero."""
        return sum(gap.clear for _, gap in self.pairs)


def by_block(table: pd.DataFrame) -> list[NegativeTransfer]:
    """Group the table of `bench.report.statistics.summary.negative_transfer` by block and method."""
    found = []
    for (kind, supervision, method), rows in table.groupby(["kind", "supervision", "method"]):
        compared = rows[rows["cells"] > 0]
        worse = compared[compared["negative"]].sort_values(["points", "pair"])
        pairs = [
            (row.pair, Difference(row.points, _interval(row.low, row.high), row.cells))
            for row in worse.itertuples()
        ]
        against = formats.listed(list(map(str, rows["against"].unique())))
        block = Block(str(kind), supervision)
        found.append(NegativeTransfer(block, str(method), against, len(compared), pairs))
    return sorted(found, key=lambda row: (row.block.kind, row.block.supervision, row.method))


def of_block(table: pd.DataFrame, block: Block) -> pd.DataFrame:
    """Rows of the same table that are of a block and could be compared."""
    same = (table["kind"] == block.kind) & (table["supervision"] == block.supervision)
    return table[same & (table["cells"] > 0)]


def _interval(low: float | None, high: float | None) -> Interval | None:
    return Interval(low, high) if formats.known(low) and formats.known(high) else None
