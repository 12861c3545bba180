"""Partitions of a target that has parts: tasks in order, or clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bench.data.dataset import Dataset
from bench.data.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    Subset,
    concatenate,
    draw_shots,
    first_rows,
    fold_of,
    subset,
)
from bench.engine.evaluation.partitions import Partitions, View, sample_places
from bench.engine.training.inputs.base import Inputs
from bench.engine.training.inputs.pooled import PooledInputs
from bench.spec.cell import Cell, Part
from bench.spec.stages import Items, Partition, StageSpec


def open_parts(
    cell: Cell, dataset: Dataset, stages: Sequence[StageSpec], view: Callable[[str], Inputs]
) -> Partitions:
    """Partitions over all parts of a cell's target; labels index the scenario's classes."""
    scenario = cell.scenario
    first = first_rows(dataset, scenario.domains)
    starts = dict(zip(scenario.domains, first.tolist(), strict=True))
    inputs = PooledInputs(tuple(map(view, scenario.domains)), first)

    def placed(domain: str, classes: Sequence[str], items: Subset) -> Subset:
        numbers = np.array([scenario.target_classes.index(name) for name in classes])
        return replace(items, rows=items.rows + starts[domain], labels=numbers[items.labels])

    def split(part: Part, name: str) -> Subset:
        return placed(part.domain, part.classes, subset(dataset, part.domain, part.classes, name))

    def shots(domain: str, classes: tuple[str, ...]) -> tuple[Subset, Subset]:
        """Shots to train on, and those that are held out while tuning."""
        drawn = draw_shots(dataset, domain, classes, scenario.shots, cell.seed)
        kept, held = fold_of(drawn, cell.fold) if cell.fold is not None else (drawn, drawn.take(np.arange(0)))
        return placed(domain, classes, kept), placed(domain, classes, held)

    def drawn(items: Items) -> View:
        domains = items.domains
        if items.part == "shots":
            return View(inputs, concatenate([shots(domain, items.classes)[0] for domain in domains]))
        each = (Part(domain=domain, classes=items.classes) for domain in domains)
        return View(inputs, concatenate([split(part, items.part) for part in each]))

    held: dict[Partition, list[Subset]] = {
        "target-test": [split(part, TEST) for part in scenario.parts],
        "target-validation": [split(part, VALIDATION) for part in scenario.parts],
    }
    if cell.fold is not None:
        held["shots-validation"] = [shots(part.domain, part.classes)[1] for part in scenario.parts]
    train = View(inputs, concatenate([split(part, TRAIN) for part in scenario.parts]))
    wanted = [items for stage in stages for items in (stage.labelled, stage.unlabelled, stage.replay)]
    return Partitions(
        streams={items: drawn(items) for items in dict.fromkeys(filter(None, wanted))},
        target=train,
        pool=train.take(sample_places(cell.seed, len(train))),
        held_out={name: View(inputs, concatenate(subsets)) for name, subsets in held.items()},
        parts={
            name: np.repeat(np.arange(len(subsets)), [len(items) for items in subsets])
            for name, subsets in held.items()
        },
    )
