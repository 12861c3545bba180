"""Budget that a cell has used up at each of its evaluations: steps, items and seconds of the whole cell."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.records.record import Record


@dataclass(frozen=True)
class Spending:
    """Budget used up at one evaluation, the stages before and what fits have seen included.

    steps: optimiser steps; the images of a closed-form fit count as steps of a batch.
    items: items seen, labelled, replayed and unlabelled.
    seconds: those that the cell would have taken with nothing shared, evaluations aside.
    trains: whether more steps would have followed, or could have; a closed form is complete as it is.
    accuracy: the cell's metric on target test items, in percent.
    """

    stage: str
    step: int
    steps: float
    items: float
    seconds: float
    trains: bool
    accuracy: float


MEASURES = ("steps", "items", "seconds")
"""Measures of a budget, by the fields of `Spending`."""


def spending(record: Record) -> tuple[Spending, ...]:
    """Budget used up at the evaluations of a record's last stage, in order; none where it is not known."""
    cost, evaluations = record.cost, record.evaluations
    if not evaluations or not cost.streams:
        return ()
    last = evaluations[-1]
    before = [name for name in cost.stages if name != last.stage]
    stage = cost.stages.get(last.stage)
    if stage is None:
        return ()
    fitted = stage.items.get("fitted", 0)
    trained = stage.items.keys() - {"fitted"}
    loops = record.episodes or 1
    steps = sum(_steps(record, name) for name in before)
    items = sum(sum(cost.stages[name].items.values()) for name in before)
    evaluating = cost.seconds.get("evaluate", 0.0) + cost.shared_seconds.get("evaluate", 0.0)
    seconds = cost.alone_seconds - evaluating - stage.total_seconds
    found = []
    for each in (evaluation for evaluation in evaluations if evaluation.stage == last.stage):
        share = each.step / last.step
        found.append(
            Spending(
                stage=each.stage,
                step=each.step,
                steps=steps + _batches(record, fitted) + (each.step * loops if trained else 0),
                items=items + fitted + share * (sum(stage.items.values()) - fitted),
                seconds=seconds + share * stage.total_seconds,
                trains=bool(trained),
                accuracy=100.0 * each.tested,
            )
        )
    return tuple(found)


def _steps(record: Record, stage: str) -> int:
    """Steps of an earlier stage, of which a fit that comes before its loop takes a part."""
    items = record.cost.stages[stage].items
    if items.keys() - {"fitted"}:
        return record.request.cell.budget.steps
    return _batches(record, items.get("fitted", 0))


def _batches(record: Record, items: int) -> int:
    return math.ceil(items / record.request.cell.budget.batch_size)
