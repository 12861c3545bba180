"""Table of targets in parts: what is remembered of tasks, or what each client has of the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from bench.report.scores.parts import in_tasks
from bench.report.statistics.summary import shared
from bench.report.tables.leaderboard import Block, blocks


@dataclass(frozen=True)
class TaskRow:
    """What a method remembers of tasks, means over orders and seeds; percent and points, None: not known.

    deviation: of the average accuracy, over orders and seeds.
    kept: bytes that the method keeps of earlier tasks.
    """

    block: Block
    method: str
    average: float
    deviation: float | None
    forgetting: float
    backward: float
    forward: float | None
    kept: float | None
    cells: int


def tasks(frame: pd.DataFrame) -> list[TaskRow]:
    """Methods of each block of tasks, the highest average accuracy first."""
    rows = [
        TaskRow(
            block=block,
            method=method,
            average=_mean(cells["average"]) or 0.0,
            deviation=_known(cells["average"].astype(float).std()),
            forgetting=_mean(cells["forgetting"]) or 0.0,
            backward=_mean(cells["backward_transfer"]) or 0.0,
            forward=_mean(cells["forward_transfer"]),
            kept=_mean(cells["bytes_kept"]),
            cells=len(cells),
        )
        for block, method, cells in _by_method(frame[frame["parts"].map(in_tasks)])
    ]
    return sorted(rows, key=lambda row: (row.block.kind, row.block.supervision, -row.average))


def _by_method(frame: pd.DataFrame) -> Iterator[tuple[Block, str, pd.DataFrame]]:
    """Cells that all methods of a block share, by block and method."""
    for block in blocks(frame):
        for method, cells in shared(block.of(frame)).groupby("method"):
            yield block, str(method), cells


def _mean(values: pd.Series) -> float | None:
    return _known(values.astype(float).mean())


def _known(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
