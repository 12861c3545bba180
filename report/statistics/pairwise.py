"""Comparisons of all methods with all others, corrected for how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from bench.records.selection import HEADLINE
from bench.report.scores.bootstrap import LEVEL, Interval, count_groups, resampled
from bench.report.scores.frame import accuracy_column
from bench.report.statistics.randomisation import holm
from bench.report.statistics.summary import SAME, complete, error_at, shared
from bench.report.statistics.uncertainty import pooled_between


@dataclass(frozen=True)
class Comparison:
    """Mean accuracy of `method` less that of `other` over the same cells, in points.

    interval: of this difference alone; None where it cannot be said.
    p, adjusted: p-value alone, and with Holm's correction over all comparisons of the table; None likewise.
    """

    method: str
    other: str
    points: float
    interval: Interval | None
    p: float | None
    adjusted: float | None

    @property
    def different(self) -> bool:
        """True where the two differ at the 5 % level for the table as a whole."""
        return self.adjusted is not None and self.adjusted <= 1.0 - LEVEL


def comparisons(rows: pd.DataFrame, rule: str = HEADLINE) -> list[Comparison]:
    """Compare every pair of methods over the cells that all of them share; the family that Holm corrects for.

    The test is that of `statistics.summary.error_at`: over test images, and over runs with several
    seeds, whose variance is pooled over the methods.
    """
    cells = shared(rows, rule).sort_values([*SAME, "method"])
    methods = sorted(cells["method"].unique())
    if cells.empty or len(methods) < 2:
        return []
    layout = cells[cells["method"] == methods[0]]
    predictions = list(cells["predictions"])
    # Cells are sorted by question and seed first, so that the last axis is the method.
    samples = resampled(predictions, rule).reshape(-1, len(layout), len(methods))
    samples = np.ascontiguousarray(np.moveaxis(samples, -1, 0))
    values = cells[accuracy_column(rule)].to_numpy(dtype=float).reshape(len(layout), len(methods))
    groups, full = count_groups(predictions), complete(layout)
    pooled = pooled_between(values[full].mean(axis=0).T) if len(full) else None
    found = []
    for one, other in combinations(range(len(methods)), 2):
        gaps = values[:, one] - values[:, other]
        error = error_at(full, gaps, samples[one] - samples[other], groups, pooled)
        points = float(gaps.mean())
        found.append((methods[one], methods[other], points, error))
    alone = [error.p_value(points) if error else None for *_, points, error in found]
    # A comparison that cannot be made counts as one all the same.
    corrected = holm([1.0 if p is None else p for p in alone])
    return [
        Comparison(
            method, other, points, error.interval(points) if error else None, p, adjusted if error else None
        )
        for (method, other, points, error), p, adjusted in zip(found, alone, corrected, strict=True)
    ]


def apart(compared: Sequence[Comparison]) -> set[tuple[str, str]]:
    """Pairs of methods that are told apart: (the better one, the worse one)."""
    return {(c.method, c.other) if c.points > 0 else (c.other, c.method) for c in compared if c.different}


def rivals(methods: Sequence[str], compared: Sequence[Comparison]) -> tuple[str, ...]:
    """Methods that are not told apart from the first of `methods`, which are named best first."""
    better = apart(compared)
    return tuple(name for name in methods[1:] if (methods[0], name) not in better)


def places(methods: Sequence[str], compared: Sequence[Comparison]) -> dict[str, tuple[int, int]]:
    """First and last place that each method may have; `(1, 3)` for a best one with two rivals.

    Places begin after the methods that are better, and end before those that are worse, as far as they are
    told apart. They hold for all methods at once, as Holm's correction does (Mogstad et al. 2024, "Inference
    for Ranks with Applications to Mobility across Neighbourhoods and Academic Achievement").
    """
    better = apart(compared)
    return {
        name: (
            1 + sum((other, name) in better for other in methods),
            len(methods) - sum((name, other) in better for other in methods),
        )
        for name in methods
    }


def not_separable(methods: Sequence[str], compared: Sequence[Comparison]) -> dict[str, str]:
    """Letters by method, named best first: methods that share a letter are not told apart.

    A letter stands for each largest set of methods of which no two are told apart, found by insertion and
    absorption (Piepho 2004, "An Algorithm for a Letter-Based Representation of All-Pairwise Comparisons").
    """
    better = apart(compared)
    columns: list[set[str]] = [set(methods)]
    for one, other in combinations(methods, 2):
        if not {(one, other), (other, one)} & better:
            continue
        split = []
        for column in columns:
            split += [column - {one}, column - {other}] if {one, other} <= column else [column]
        columns = [c for i, c in enumerate(split) if not any(c < d for d in split) and c not in split[:i]]
    order = {name: place for place, name in enumerate(methods)}
    columns.sort(key=lambda column: sorted(order[name] for name in column))
    return {
        name: "".join(_letter(i) for i, column in enumerate(columns) if name in column) for name in methods
    }


def _letter(place: int) -> str:
    """`a`, …, `z`, then numbers in brackets."""
    return chr(ord("a") + place) if place < 26 else f"({place + 1})"
