"""Selection rules: named objects that choose one of the evaluations that a record stores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.records.record import Evaluation
from bench.spec.rules import SOURCE_VAL, VALIDATORS


@dataclass(frozen=True)
class Rule:
    """Rule that selects the index of one of a run's evaluations; None where it is undefined."""

    name: str
    summary: str
    uses_target_labels: bool
    select: Callable[[Sequence[Evaluation]], int | None]


def best(scores: Sequence[float | None]) -> int | None:
    """Return the index of the highest score; of equal ones the last, which has trained longest."""
    known = [(score, index) for index, score in enumerate(scores) if score is not None]
    return max(known)[1] if known else None


COLLAPSED = 0.25
"""Diversity of the predicted classes below which validators are ignored. Entropy, SND and others rise when a
model predicts the same class for every image, so that without a guard they select it."""


def validator_scores(evaluations: Sequence[Evaluation], name: str) -> list[float | None]:
    """Return a validator's score of each evaluation: -inf for a collapsed model, None if unknown."""
    return [
        None
        if evaluation.diversity is None or name not in evaluation.validators
        else -math.inf
        if evaluation.diversity < COLLAPSED
        else evaluation.validators[name]
        for evaluation in evaluations
    ]


def label_free_scores(evaluations: Sequence[Evaluation], name: str) -> list[float | None]:
    """Return the score of each evaluation by one of `LABEL_FREE`; None if unknown."""
    if name == SOURCE_VAL:
        return [evaluation.score("source-validation") for evaluation in evaluations]
    return validator_scores(evaluations, name)


def _validated(name: str, summary: str) -> Rule:
    """Rule that goes by a validator; where every evaluation has collapsed, it selects the last."""
    return Rule(name, summary, False, lambda evaluations: best(validator_scores(evaluations, name)))


RULES = (
    Rule(
        "last",
        "the last evaluation",
        False,
        lambda evaluations: len(evaluations) - 1 if evaluations else None,
    ),
    Rule(
        SOURCE_VAL,
        "highest accuracy on labelled source validation images",
        False,
        lambda evaluations: best(label_free_scores(evaluations, SOURCE_VAL)),
    ),
    *(_validated(name, summary) for name, summary in VALIDATORS.items()),
    Rule(
        "oracle",
        "highest accuracy on labelled target validation images, which nobody has in practice",
        True,
        lambda evaluations: best([each.score("target-validation") for each in evaluations]),
    ),
)

HEADLINE = "headline"
"""Name that stands, where scores are read, for the rule that a cell's suite names (`Cell.headline`)."""


def stage_ends(evaluations: Sequence[Evaluation]) -> list[int]:
    """Places of the last evaluation of each stage, in order."""
    return list({evaluation.stage: place for place, evaluation in enumerate(evaluations)}.values())


def select(evaluations: Sequence[Evaluation]) -> dict[str, int]:
    """Select an evaluation of the last stage by each rule; rules that are undefined are left out."""
    last = [evaluation for evaluation in evaluations if evaluation.stage == evaluations[-1].stage]
    before = len(evaluations) - len(last)
    picked = {rule.name: rule.select(last) for rule in RULES}
    return {name: before + index for name, index in picked.items() if index is not None}
