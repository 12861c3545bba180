"""Exact paired test and Holm's correction, by which `bench.report.regression.compare` decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

Chance = Callable[[float], float]
"""Probability of a p-value of at most some level where nothing changed."""


@dataclass(frozen=True)
class Exact:
    """Test of few outcomes: its p-value, and those that it could have had, float (outcomes,), rising."""

    p: float
    attainable: np.ndarray = field(repr=False)

    def chance(self, level: float) -> float:
        """Probability of a p-value of at most `level` where nothing changed: often less than `level`."""
        place = int(np.searchsorted(self.attainable, level * (1 + 1e-12), side="right"))
        return float(self.attainable[place - 1]) if place else 0.0


def sign_flip(differences: np.ndarray) -> Exact:
    """Fisher's randomisation test (1935), exact, one-sided in the direction of the sum.

    Under the null hypothesis each difference could as well have had the other sign. The distribution of
    the sum over all choices of signs is computed by convolution, so that small p-values are right too.

    Args:
        differences: int (groups,), what one side has more than the other in each independent group.
    """
    sizes = np.sort(np.abs(differences[differences != 0]).astype(int))
    beyond = _beyond(tuple(sizes.tolist()))
    return Exact(float(beyond[int(sizes.sum()) - abs(int(differences.sum()))]), beyond)


@lru_cache(maxsize=2**12)
def _beyond(sizes: tuple[int, ...]) -> np.ndarray:
    """Probability that these sizes with random signs sum to their sum at least, that less one, …: rising."""
    total = sum(sizes)
    chances = np.zeros(2 * total + 1)  # of the sum being -total ... total
    chances[total] = 1.0
    for size in sizes:
        chances = 0.5 * (np.roll(chances, size) + np.roll(chances, -size))
    return np.minimum(np.cumsum(chances[::-1]), 1.0)


def holm(values: Sequence[float], chances: Sequence[Chance] | None = None) -> list[float]:
    """P-values adjusted for how many there are, after Holm (1979).

    Tests of few outcomes may give their `chances`: what counts is then how likely each of the others was to
    say as much by accident, which for one without any difference is not at all (Westfall & Wolfinger 1997,
    "Multiple Tests with Discrete Distributions", The American Statistician 51). Without them a test is
    taken to say as much as its level allows.
    """
    adjusted, highest = [1.0] * len(values), 0.0
    order = sorted(range(len(values)), key=lambda i: values[i])
    for rank, place in enumerate(order):
        level = values[place]
        if chances is None:
            total = (len(values) - rank) * level
        else:
            total = sum(chances[other](level) for other in order[rank:])
        highest = max(highest, min(1.0, total))
        if highest >= 1.0:
            break
        adjusted[place] = highest
    return adjusted
