"""An exact paired test, and Holm's correction: what `report.compare` decides by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np


def sign_flip(differences: np.ndarray) -> float:
    """Two-sided p-value of Fisher's randomisation test (1935), exact.

    Under the null hypothesis each difference could as well have had the other sign. The distribution of
    the sum over all choices of signs is computed by convolution, so that small p-values are right too.

    Args:
        differences: int (groups,), what one side has more than the other in each independent group.
    """
    sizes = np.sort(np.abs(differences[differences != 0]).astype(int))
    return _chance(tuple(sizes.tolist()), abs(int(differences.sum())))


@lru_cache(maxsize=2**12)
def _chance(sizes: tuple[int, ...], reached: int) -> float:
    """Of a sum of these sizes with signs of chance being that far from zero."""
    total = sum(sizes)
    if not total:
        return 1.0
    chances = np.zeros(2 * total + 1)  # of the sum being -total ... total
    chances[total] = 1.0
    for size in sizes:
        chances = 0.5 * (np.roll(chances, size) + np.roll(chances, -size))
    beyond = np.abs(np.arange(-total, total + 1)) >= reached
    return min(1.0, float(chances[beyond].sum()))


def holm(values: Sequence[float]) -> list[float]:
    """P-values adjusted for how many there are, after Holm (1979)."""
    adjusted, highest = [1.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = highest
    return adjusted
