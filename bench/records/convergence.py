"""Convergence of a stage by its evaluations: whether more steps would still change it.

Only what a method may see decides: its training loss, and labelled source validation items.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.records.record import Evaluation, Record
from bench.records.store import Store
from bench.spec.cell import Cell

FALL = 0.05
"""Nats by which the mean training loss may fall from one evaluation to the next and stand still."""
RISE = 0.02
"""Share by which the metric on source validation items may exceed the best before and stand still."""


def converged(evaluations: Sequence[Evaluation]) -> bool | None:
    """False if at the last evaluation of a stage its loss still falls, or its validation score rises.

    The score is the cell's metric on labelled source validation items.

    None where that cannot be said: of a closed form, or of few evaluations. Mean losses are since the
    evaluation before, the first one since the beginning, where every loss falls: it takes three.
    """
    last = [each for each in evaluations if each.stage == evaluations[-1].stage]
    losses = [each.train_loss for each in last if each.train_loss is not None]
    scores = [score for each in last if (score := each.score("source-validation")) is not None]
    if len(losses) < len(last):
        return None
    if len(scores) > 1 and scores[-1] - max(scores[:-1]) > RISE:
        return False
    return losses[-2] - losses[-1] <= FALL if len(losses) > 2 else None


def longer(cell: Cell, record: Record | None) -> Cell | None:
    """Cell with twice the steps, where this one is to converge, has a record, and has not.

    None where it has, or where it cannot be said, or where it has the most steps already.
    """
    budget = cell.budget.longer
    if budget is None or record is None or not record.done or converged(record.evaluations) is not False:
        return None
    return cell.model_copy(update={"budget": budget})


def longest_run(cell: Cell, store: Store) -> Cell:
    """Cell of the most steps among those that a store has of a cell that is to converge; else the cell."""
    while (other := longer(cell, store.latest(cell.key))) and store.latest(other.key):
        cell = other
    return cell
