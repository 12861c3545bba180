"""Board of a recommendation: which trials are run, what they scored and cost, and what that says of others.

Pure: it is the same for runs and for replays of records.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from scipy.special import ndtr

from bench.commands.recommending.beliefs import NOISE, Beliefs
from bench.commands.recommending.trials import Arm, Question, Trial
from bench.core.errors import UserError

MOST = 5_000
"""Most trials of a recommendation: what is believed of them takes memory in the square of their number."""
NORMAL = 1.96
"""Standard deviations on each side of a 95 % interval."""


@dataclass(frozen=True)
class Answer:
    """Arm that is best on a question by what is believed, and the one behind it.

    lead: points of validation score that it is ahead of `other`, with the `low` and `high` end of its 95 %
        interval. `other` is None where there is nothing to compare it with.
    """

    question: Question
    arm: Arm
    other: Arm | None
    lead: float
    low: float
    high: float

    @property
    def separable(self) -> bool:
        """True where the lead's interval excludes zero."""
        return self.other is not None and self.low > 0


class Board:
    """Trials, the scores and seconds of those that are run, and beliefs about all.

    trials: in the order of the plan. members: places of each question's trials.
    """

    def __init__(
        self, trials: Sequence[Trial], prior: np.ndarray | None = None, most_seconds: float = math.inf
    ) -> None:
        """Begin with no score.

        Args:
            trials: runs.
            prior: points that each is expected above the others, (trials,).
            most_seconds: that a cell may take.

        Raises:
            UserError: there are too many.
        """
        if len(trials) > MOST:
            raise UserError(
                f"{len(trials):,} cells to choose from: {MOST:,} at most, so narrow them with --methods, "
                "--source, --target or --seeds"
            )
        self.trials = list(trials)
        self.most_seconds = most_seconds
        self.questions = list(dict.fromkeys(trial.question for trial in trials))
        places: dict[Question, list[int]] = {question: [] for question in self.questions}
        for place, trial in enumerate(trials):
            places[trial.question].append(place)
        self.members = [np.array(found) for found in places.values()]
        self.beliefs = Beliefs(self.trials, self.members, prior)
        self.scores: dict[int, float | None] = {}
        """Scores in percent of the trials that are run, by place; None of those that could not be."""
        self.seconds: dict[int, float] = {}
        """Seconds of the trials that are run, by place."""
        self._took: dict[Hashable, list[float]] = defaultdict(list)
        self._able: dict[tuple[Arm, str], bool] = {}

    def observe(self, place: int, score: float | None, seconds: float) -> None:
        """Take in what came of a trial: its score in percent, None where it could not be run."""
        trial = self.trials[place]
        kind = trial.arm, trial.question.group
        self.scores[place], self.seconds[place] = score, seconds
        self._able[kind] = self._able.get(kind, False) or score is not None
        if score is not None:
            self.beliefs.observe(place, score)
            for like in (kind, trial.arm, None):
                self._took[like].append(seconds)

    def able(self, place: int) -> bool:
        """False of a trial that cannot be run, or takes too long, as others of its arm and group."""
        kind = self.trials[place].arm, self.trials[place].question.group
        if kind in self._took and median(self._took[kind]) > self.most_seconds:
            return False
        return self.scores[place] is not None if place in self.scores else self._able.get(kind, True)

    def predicted(self) -> np.ndarray:
        """Seconds of each trial: its own, or the median of those like it that are run (trials,).

        Like it are those of its arm and group, else of its arm, else any; before the first, all cost one.
        """
        typical = {like: median(values) for like, values in self._took.items()}
        return np.array(
            [
                self.seconds[place]
                if place in self.seconds
                else typical.get(
                    (trial.arm, trial.question.group), typical.get(trial.arm, typical.get(None, 1.0))
                )
                if self.able(place)
                else 0.0
                for place, trial in enumerate(self.trials)
            ]
        )

    def answer(self, number: int) -> Answer:
        """Answer to a question, by its number: the arm whose expected score is the highest."""
        ranked = self.ranked(number)
        best = ranked[0]
        arm = self.trials[self.members[number][best]].arm
        if len(ranked) < 2:
            return Answer(self.questions[number], arm, None, 0.0, 0.0, 0.0)
        other, block = ranked[1], self.beliefs.blocks[number]
        mean = self.beliefs.mean[self.members[number]]
        lead = float(mean[best] - mean[other])
        wide = NORMAL * math.sqrt(max(0.0, block[best, best] + block[other, other] - 2 * block[best, other]))
        runner = self.trials[self.members[number][other]].arm
        return Answer(self.questions[number], arm, runner, lead, lead - wide, lead + wide)

    def ranked(self, number: int) -> list[int]:
        """Places among a question's trials, one for each arm that can be run, the best expected first."""
        places = self.members[number]
        able = [place for place in range(len(places)) if self.able(places[place])]
        order = sorted(able or range(len(places)), key=lambda place: -self.beliefs.mean[places[place]])
        first: dict[Arm, int] = {}
        for place in order:
            first.setdefault(self.trials[places[place]].arm, place)
        return list(first.values())

    def gains(self, number: int) -> np.ndarray:
        """Points that running each of a question's trials is expected to improve its answer by (its trials,).

        The knowledge gradient (Frazier et al. 2009, https://doi.org/10.1287/ijoc.1080.0314) for the trial and
        the best of the other arms: how often its score would turn their order, and by how much.
        """
        block, ranked = self.beliefs.blocks[number], self.ranked(number)
        mean = self.beliefs.mean[self.members[number]]
        if len(ranked) < 2:
            return np.zeros(len(mean))
        arms = [self.trials[place].arm for place in self.members[number]]
        rival = np.array([ranked[arm == arms[ranked[0]]] for arm in arms])
        behind, own = np.abs(mean - mean[rival]), block.diagonal()
        # Standard deviation of what a score will change between the two.
        moves = np.abs(own - block[np.arange(len(arms)), rival]) / np.sqrt(own + NOISE**2)
        z = behind / np.maximum(moves, 1e-9)
        return np.asarray(moves * np.exp(-z * z / 2) / math.sqrt(2 * math.pi) - behind * ndtr(-z))
