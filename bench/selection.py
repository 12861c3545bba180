"""Selection rules: which look of a run counts. Named objects over the looks that a record stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.record import Look


@dataclass(frozen=True)
class Rule:
    """Maps the looks of a run to the index of the one that counts, or None where it cannot say."""

    name: str
    summary: str
    uses_target_labels: bool
    select: Callable[[Sequence[Look]], int | None]


def best(scores: Sequence[float | None]) -> int | None:
    """Index of the highest score; of equal ones the last, which has trained longest."""
    known = [(score, index) for index, score in enumerate(scores) if score is not None]
    return max(known)[1] if known else None


RULES = (
    Rule("last", "the last look", False, lambda looks: len(looks) - 1 if looks else None),
    Rule(
        "source-val",
        "highest accuracy on labelled source validation images",
        False,
        lambda looks: best([look.source_validation_accuracy for look in looks]),
    ),
    Rule(
        "oracle",
        "highest accuracy on labelled target validation images, which nobody has in practice",
        True,
        lambda looks: best([look.target_validation_accuracy for look in looks]),
    ),
)

HEADLINE = "last"


def select(looks: Sequence[Look]) -> dict[str, int]:
    """The look each rule picks; rules that cannot say are left out."""
    picked = {rule.name: rule.select(looks) for rule in RULES}
    return {name: index for name, index in picked.items() if index is not None}
