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

Score = Callable[[Cell], float | None]
"""Validation accuracy of a cell in [0, 1], run if need be; None where the method cannot do it."""


def questions(cells: Sequence[Cell]) -> list[dict[str, Cell]]:
    """Cells by what they ask apart from the method, in an order of chance that is always the same.

    Each is a mapping from methods to their cells.
    """
    found: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        key = content_hash(cell.model_dump(mode="json", by_alias=True, exclude={"method", "overrides"}))
        found.setdefault(key, {})[cell.method] = cell
    return [found[key] for key in sorted(found, key=lambda key: stream(0, "halving", key))]


def halve(asked: Sequence[Mapping[str, Cell]], score: Score, on_round: Callable[[str], None]) -> list[str]:
    """The methods that are left at the end, best first; at least two where there are two.

    Each round asks about twice as many questions of half as many methods, so that rounds cost about the same;
    the last round asks all of them. A method that can do none of a round's cells leaves.
    """
    left = list(dict.fromkeys(method for cells in asked for method in cells))
    rounds = max(1, math.ceil(math.log2(len(left))))
    for number in range(rounds):
        count = max(1, math.ceil(len(asked) / 2 ** (rounds - 1 - number)))
        on_round(f"round {number + 1} of {rounds}: {', '.join(left)} on {count} of {len(asked)} questions")
        seen = {
            method: [
                value
                for cells in asked[:count]
                if method in cells and (value := score(cells[method])) is not None
            ]
            for method in left
        }
        ranked = sorted((m for m in left if seen[m]), key=lambda m: -fmean(seen[m]))
        last = number == rounds - 1
        left = ranked if last else ranked[: max(2, math.ceil(len(ranked) / 2))]
    return left
