"""Selection rules: which look of a run counts. Named objects over the looks that a record stores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.records.record import Evaluation
from bench.spec.rules import VALIDATORS


@dataclass(frozen=True)
class Rule:
    """Maps the looks of a run to the index of the one that counts, or None where it cannot say."""

    name: str
    summary: str
    uses_target_labels: bool
    select: Callable[[Sequence[Evaluation]], int | None]


def best(scores: Sequence[float | None]) -> int | None:
    """Index of the highest score; of equal ones the last, which has trained longest."""
    known = [(score, index) for index, score in enumerate(scores) if score is not None]
    return max(known)[1] if known else None


COLLAPSED = 0.25
"""Diversity of the predicted classes below which no validator's word counts. Entropy, SND and others rise
when a model says the same of every image, so that without a guard they pick it."""


def validator_scores(evaluations: Sequence[Evaluation], name: str) -> list[float | None]:
    """A validator's score of each look, guarded: minus infinity for a collapsed model, None if unknown."""
    return [
        None
        if look.diversity is None or name not in look.validators
        else -math.inf
        if look.diversity < COLLAPSED
        else look.validators[name]
        for look in evaluations
    ]


def _validated(name: str, summary: str) -> Rule:
    """The rule that goes by a validator; where every look has collapsed, it is the last one's turn."""
    return Rule(name, summary, False, lambda evaluations: best(validator_scores(evaluations, name)))


RULES = (
    Rule("last", "the last look", False, lambda evaluations: len(evaluations) - 1 if evaluations else None),
    Rule(
        "source-val",
        "highest accuracy on labelled source validation images",
        False,
        lambda evaluations: best([each.accuracy.get("source-validation") for each in evaluations]),
    ),
    *(_validated(name, summary) for name, summary in VALIDATORS.items()),
    Rule(
        "oracle",
        "highest accuracy on labelled target validation images, which nobody has in practice",
        True,
        lambda evaluations: best([each.accuracy.get("target-validation") for each in evaluations]),
    ),
)

HEADLINE = "headline"
"""Stands, where scores are read, for the rule that a cell's suite names (`Cell.headline`)."""


def select(evaluations: Sequence[Evaluation]) -> dict[str, int]:
    """The look each rule picks; rules that cannot say are left out."""
    picked = {rule.name: rule.select(evaluations) for rule in RULES}
    return {name: index for name, index in picked.items() if index is not None}
