"""Successive halving over methods: many methods on few cells, few methods on many.

Jamieson & Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization".
https://arxiv.org/abs/1502.07943
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from bench.core.seeds import stream
from bench.spec.cell import Cell, content_hash

CellScore = Callable[[Cell], float | None]
"""Validation accuracy of a cell in [0, 1], run if need be; None where the method cannot do it."""


def matched_cells(cells: Sequence[Cell]) -> list[dict[str, Cell]]:
    """Group cells that differ only in their method, in a random order that is always the same.

    Each group is a mapping from methods to their cells.
    """
    groups: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        key = content_hash(cell.model_dump(mode="json", by_alias=True, exclude={"method", "overrides"}))
        groups.setdefault(key, {})[cell.method] = cell
    return [groups[key] for key in sorted(groups, key=lambda key: stream(0, "halving", key))]


def halve(
    groups: Sequence[Mapping[str, Cell]], score: CellScore, on_round: Callable[[str], None]
) -> list[str]:
    """Select methods by successive halving; returns those that are left, best first, at least two of two.

    Each round scores about half as many methods on about twice as many groups, so that rounds cost about the
    same; the last round uses all groups. A method that can do none of a round's cells is dropped.
    """
    left = list(dict.fromkeys(method for cells in groups for method in cells))
    rounds = max(1, math.ceil(math.log2(len(left))))
    for number in range(rounds):
        count = max(1, math.ceil(len(groups) / 2 ** (rounds - 1 - number)))
        on_round(f"round {number + 1} of {rounds}: {', '.join(left)} on {count} of {len(groups)} questions")
        scores = {
            method: [
                value
                for cells in groups[:count]
                if method in cells and (value := score(cells[method])) is not None
            ]
            for method in left
        }
        ranked = sorted((m for m in left if scores[m]), key=lambda m: -fmean(scores[m]))
        last = number == rounds - 1
        left = ranked if last else ranked[: max(2, math.ceil(len(ranked) / 2))]
    return left
