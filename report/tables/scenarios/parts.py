"""Table of targets in parts: what is remembered of tasks, or what each client has of the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from bench.report.scores.parts import beside, in_tasks
from bench.report.statistics.summary import SAME, shared
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
        for block, method, cells in _by_method(frame[frame["parts"].map(in_tasks).eq(True)])
    ]
    return sorted(rows, key=lambda row: (row.block.kind, row.block.supervision, -row.average))


ALONE = "local-only"
"""Method that says what a client has without the others."""


@dataclass(frozen=True)
class ClientRow:
    """What a method gives to clients, means over cells; percent and points, None: not known.

    worst: mean over cells of the client with the lowest accuracy.
    sent: bytes in all rounds, in both directions, of all clients.
    hurt: clients that have less than alone, of `clients` that can be compared; `harm`: the largest loss.
    """

    block: Block
    method: str
    average: float
    worst: float
    sent: float | None
    hurt: int
    clients: int
    harm: float | None
    cells: int


def clients(frame: pd.DataFrame) -> list[ClientRow]:
    """Methods of each federated block, the highest mean over clients first."""
    rows = [
        _client_row(block, method, cells, frame)
        for block, method, cells in _by_method(frame[frame["parts"].map(beside).eq(True)])
    ]
    return sorted(rows, key=lambda row: (row.block.kind, row.block.supervision, -row.average))


def _client_row(block: Block, method: str, cells: pd.DataFrame, frame: pd.DataFrame) -> ClientRow:
    alone = frame[(frame["method"] == ALONE) & frame["parts"].map(beside).eq(True)]
    known = {
        tuple(key): parts.last
        for *key, parts in zip(*(alone[name] for name in (*SAME, "parts")), strict=True)
    }
    gains = [
        gain
        for *key, parts in zip(*(cells[name] for name in (*SAME, "parts")), strict=True)
        if tuple(key) in known
        for gain in parts.last - known[tuple(key)]
    ]
    return ClientRow(
        block=block,
        method=method,
        average=_mean(cells["average"]) or 0.0,
        worst=_mean(cells["worst"]) or 0.0,
        sent=_mean(cells["bytes_sent"]),
        hurt=sum(gain < 0 for gain in gains),
        clients=len(gains),
        harm=min(gains) if gains and min(gains) < 0 else None,
        cells=len(cells),
    )


def _by_method(frame: pd.DataFrame) -> Iterator[tuple[Block, str, pd.DataFrame]]:
    """Cells that all methods of a block share, by block and method."""
    for block in blocks(frame):
        for method, cells in shared(block.of(frame)).groupby("method"):
            yield block, str(method), cells


def _mean(values: pd.Series) -> float | None:
    return _known(values.astype(float).mean())


def _known(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
