"""Curves as numbers: accuracy over evaluations and over labels, a row per method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.report.statistics.summary import scored
from bench.report.tables.gains import by_shots
from bench.report.tables.leaderboard import Block


@dataclass(frozen=True)
class Curve:
    """Mean accuracy in percent of a method at each place, None where it was not measured."""

    method: str
    values: list[float | None]

    @property
    def known(self) -> list[float]:
        """Values that were measured."""
        return [value for value in self.values if value is not None]

    @property
    def change(self) -> float | None:
        """Last value less the one before it."""
        return self.known[-1] - self.known[-2] if len(self.known) > 1 else None


@dataclass(frozen=True)
class Curves:
    """Curves of the methods of a table over the same places, highest end first."""

    places: list[str]
    rows: list[Curve]

    @property
    def low(self) -> float:
        """Lowest value of all."""
        return min(value for row in self.rows for value in row.known)

    @property
    def high(self) -> float:
        """Highest value of all."""
        return max(value for row in self.rows for value in row.known)

    def points(self, row: Curve) -> str:
        """Corners of a row's curve in a box of 100 × 24, as SVG has them: highest at the top."""
        step, span = 96 / max(len(self.places) - 1, 1), max(self.high - self.low, 1e-9)
        places = ((2 + step * i, v) for i, v in enumerate(row.values) if v is not None)
        return " ".join(f"{x:.1f},{22 - 20 * (value - self.low) / span:.1f}" for x, value in places)


def learning(frame: pd.DataFrame, block: Block) -> pd.DataFrame:
    """Mean test metric in percent at each evaluation of the last stage: methods by optimiser step.

    Cells may have been evaluated after other steps, or have had fewer. Each counts by its latest evaluation
    until then, from the step on at which all cells of the method have one, so that no curve rises because
    other cells are left.

    For inspection only: it is made of target test labels, and no evaluation may be chosen by it.
    """
    cells = scored(block.of(frame))
    found: dict[str, list[pd.Series]] = {}
    for method, evaluations in zip(cells["method"], cells["evaluations"], strict=True):
        last = {each.step: 100.0 * each.tested for each in evaluations if each.stage == evaluations[-1].stage}
        found.setdefault(method, []).append(pd.Series(last, dtype=float))
    means = {method: _latest(each) for method, each in sorted(found.items())}
    table = pd.DataFrame(means).T.sort_index(axis=1)
    return table.rename_axis(index="method", columns="step")


def _latest(curves: Sequence[pd.Series]) -> pd.Series:
    """Mean of curves at the steps of any of them, each by its latest value, as soon as all have one."""
    table = pd.concat(curves, axis=1).sort_index().ffill()
    return table.dropna().mean(axis=1)


def learning_curves(frame: pd.DataFrame, block: Block) -> Curves | None:
    """Curves over the evaluations of the last stage; None where no stage has two."""
    return _curves(learning(frame, block))


def shots_curves(frame: pd.DataFrame, kind: str) -> Curves | None:
    """Curves over shots (`tables.gains.by_shots`); None where there are not two."""
    return _curves(by_shots(frame, kind))


def _curves(table: pd.DataFrame) -> Curves | None:
    if table.shape[1] < 2 or table.dropna(how="all").empty:
        return None
    rows = [
        Curve(str(method), [None if pd.isna(value) else float(value) for value in row])
        for method, row in zip(table.index, table.to_numpy(dtype=float), strict=True)
    ]
    rows = [row for row in rows if row.known]
    return Curves(
        [str(place) for place in table.columns], sorted(rows, key=lambda row: (-row.known[-1], row.method))
    )
