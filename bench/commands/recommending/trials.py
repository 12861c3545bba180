"""Trials of a recommendation: a question, and what is tried on it. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

from bench.records.record import Evaluation, Record
from bench.report.scores.supervision import Supervision
from bench.spec.cell import Cell, content_hash
from bench.spec.stages import Partition

ANSWERS = {"method", "overrides", "control_of", "backbone", "seed"}
"""Fields of a cell that its question leaves open."""


class Question(NamedTuple):
    """Question of a recommendation, as `google → twitter` with five labels per class.

    group: kind and supervision, which questions of several pairs have in common. key: of all that it fixes.
    """

    group: str
    pair: str
    key: str


class Arm(NamedTuple):
    """Answer to a question: a method, on a pretrained network."""

    method: str
    backbone: str


class Trial(NamedTuple):
    """Run of an arm on a question."""

    question: Question
    arm: Arm
    seed: int = 0


HELD_OUT: tuple[Partition, ...] = ("target-validation", "source-validation")
"""Partitions that methods are chosen by: the first one that is there."""


def trial_of(cell: Cell) -> Trial:
    """Trial that a cell is."""
    fixed = cell.model_dump(mode="json", by_alias=True, exclude=ANSWERS)
    supervision = Supervision.of(cell)
    question = Question(f"{cell.scenario.kind}, {supervision.title}", cell.scenario.pair, content_hash(fixed))
    return Trial(question, Arm(cell.method, cell.backbone), cell.seed)


def choosable(cell: Cell) -> bool:
    """True if runs of a cell have validation items that methods may be chosen by."""
    return not (cell.scenario.episodes or cell.unsplit)


def validation_score(record: Record | None) -> float | None:
    """Score in percent that methods are chosen by; None if there is none.

    The cell's metric on the target's validation items, or the source's where nobody sees the target, at the
    evaluation that is its result.
    """
    if record is None or not record.done or not record.evaluations:
        return None
    place = record.selected.get(record.request.cell.headline, len(record.evaluations) - 1)
    return evaluation_score(record.evaluations[place])


def evaluation_score(evaluation: Evaluation) -> float | None:
    """Score in percent that an evaluation is judged by; see `validation_score`."""
    for partition in HELD_OUT:
        score = evaluation.score(partition)
        if score is not None and math.isfinite(score):
            return 100 * score
    return None
