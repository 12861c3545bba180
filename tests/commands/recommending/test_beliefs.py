"""Beliefs about scores, by hand and against the joint normal distribution."""

from __future__ import annotations

import numpy as np
import pytest

from bench.commands.recommending.beliefs import EFFECTS, LEVEL, NOISE, Beliefs
from bench.commands.recommending.trials import Arm, Question, Trial

HERE = Question("cross-domain, no target labels", "a → b", "1")
THERE = Question("cross-domain, no target labels", "b → a", "2")
OTHER = Question("pretrained, 5 labels", "b", "3")


def trials(*named: tuple[Question, str]) -> list[Trial]:
    return [Trial(question, Arm(method, "net")) for question, method in named]


def beliefs(found: list[Trial]) -> Beliefs:
    questions = dict.fromkeys(trial.question for trial in found)
    members = [np.array([i for i, t in enumerate(found) if t.question == q]) for q in questions]
    return Beliefs(found, members)


def test_one_score_by_hand() -> None:
    """What two methods share on one question and network, and what a run has beside that."""
    found = beliefs(trials((HERE, "x"), (HERE, "y"), (OTHER, "x")))
    shared, alone = 900 + 225 + 9 + 49 + 9, 900 + 225 + 9 + 49 + 9 + 49 + 16 + 9 + 9
    assert sum(effect.deviation**2 for effect in EFFECTS) == alone
    assert found.blocks[0].tolist() == [[alone, shared], [shared, alone]]
    found.observe(0, 80.0)
    weight = 1 / (alone + NOISE**2)
    # Of another group: level, method, network, and the method on it.
    elsewhere = 900 + 49 + 49 + 9
    expected = [LEVEL + 30 * share * weight for share in (alone, shared, elsewhere)]
    assert found.mean.tolist() == pytest.approx(expected)
    assert found.blocks[0][0, 0] == pytest.approx(alone - alone**2 * weight)
    assert found.blocks[0][0, 1] == pytest.approx(shared - alone * shared * weight)


def test_scores_one_by_one_are_scores_all_at_once() -> None:
    names = [(question, method) for question in (HERE, THERE, OTHER) for method in "xyz"]
    found, seen, scores = beliefs(trials(*names)), [0, 4, 8, 1], np.array([60.0, 30.0, 75.0, 55.0])
    prior = np.stack([found._prior(place) for place in range(9)])
    for place, score in zip(seen, scores, strict=True):
        found.observe(place, score)
    gain = prior[:, seen] @ np.linalg.inv(prior[np.ix_(seen, seen)] + NOISE**2 * np.eye(4))
    assert found.mean == pytest.approx(LEVEL + gain @ (scores - LEVEL))
    covariance = prior - gain @ prior[seen]
    for number, block in enumerate(found.blocks):
        inside = slice(3 * number, 3 * number + 3)
        assert block == pytest.approx(covariance[inside, inside])


def test_a_prior_moves_what_is_expected() -> None:
    found = trials((HERE, "x"), (HERE, "y"))
    assert Beliefs(found, [np.array([0, 1])], np.array([4.0, -4.0])).mean.tolist() == [54.0, 46.0]
