"""Normal beliefs about the scores of runs: effects of question, method and network, updated by each score.

A linear mixed model (Henderson 1975, https://doi.org/10.2307/2529430): a score is the sum of normal effects
that other runs share, and noise. So a score says something of all runs that share an effect with its own,
which is how one question informs another. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np

from bench.commands.recommending.trials import Trial

LEVEL = 50.0
"""Score in percent that is expected of anything."""
NOISE = 3.0
"""Standard deviation in points of a score around what its run is worth: few validation items, one seed."""


class Effect(NamedTuple):
    """Effect that runs of one label have alike, and its standard deviation in points."""

    label: Callable[[Trial], Hashable]
    deviation: float


EFFECTS = (
    Effect(lambda trial: None, 30.0),
    Effect(lambda trial: trial.question.group, 15.0),
    Effect(lambda trial: trial.question, 3.0),
    Effect(lambda trial: trial.arm.method, 7.0),
    Effect(lambda trial: (trial.arm.method, trial.question.group), 4.0),
    Effect(lambda trial: trial.arm.backbone, 7.0),
    Effect(lambda trial: (trial.arm.backbone, trial.question), 3.0),
    Effect(lambda trial: trial.arm, 3.0),
    Effect(lambda trial: (trial.arm, trial.question), 3.0),
)
"""Those of questions and methods are most likely (maximum likelihood, rounded) for validation scores of the
baselines `emoji-methods` and `emoji-tasks`; what one seed cannot tell from noise is half of both. Those of
networks are as large as those of methods, which is an assumption."""


class Beliefs:
    """Means and covariances of the scores of trials, in percent.

    mean: (trials,). blocks: by question, covariances (its trials, its trials).
    """

    def __init__(
        self, trials: Sequence[Trial], members: Sequence[np.ndarray], prior: np.ndarray | None = None
    ) -> None:
        """Believe what is believed before any score.

        Args:
            trials: runs.
            members: places of each question's trials, int.
            prior: points above the usual expectation, (trials,).
        """
        self.mean = np.full(len(trials), LEVEL) if prior is None else LEVEL + prior
        self._labels = np.stack([_codes(trials, effect) for effect in EFFECTS], axis=1)
        self._members = members
        self._learnt = np.empty((0, len(trials)))
        self._count = 0
        self.blocks = [np.stack([self._prior(place)[places] for place in places]) for places in members]

    def _prior(self, place: int) -> np.ndarray:
        """Covariances of a trial with all, before any score: (trials,)."""
        alike = self._labels == self._labels[place]
        return np.asarray(alike @ np.square([effect.deviation for effect in EFFECTS]))

    def observe(self, place: int, score: float) -> None:
        """Update by the score of a trial, percent (conditioning on one number, a rank-one update)."""
        learnt = self._learnt[: self._count]
        shared = self._prior(place) - learnt[:, place] @ learnt
        variance = shared[place] + NOISE**2
        self.mean = self.mean + shared / variance * (score - self.mean[place])
        direction = shared / np.sqrt(variance)
        if self._count == len(self._learnt):
            self._learnt = np.concatenate([self._learnt, np.empty((self._count + 16, len(direction)))])
        self._learnt[self._count] = direction
        self._count += 1
        self.blocks = [
            block - np.outer(direction[places], direction[places])
            for block, places in zip(self.blocks, self._members, strict=True)
        ]


def _codes(trials: Sequence[Trial], effect: Effect) -> np.ndarray:
    """Numbers of the trials' labels, the same for equal ones: int (trials,)."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(effect.label(trial), len(numbers)) for trial in trials])
