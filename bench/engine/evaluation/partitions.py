"""Which images play which role in a cell: what is learned from, what is adapted to, what is held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.core.seeds import stream
from bench.data.dataset import Dataset
from bench.data.splits import TEST, TRAIN, VALIDATION, Subset, draw_shots, fold_of, subset
from bench.engine.evaluation.validators import FEWEST
from bench.engine.training.batches import Inputs
from bench.records.record import Partition
from bench.spec.cell import Cell

POOL = 256
"""Unlabelled target images, and held-out source images, that are looked at without target labels."""


@dataclass
class Source:
    """The source as a method may see it."""

    inputs: Inputs
    train: Subset


@dataclass
class Partitions:
    """The images of one cell by role. Only the trainer hands any of them to a method."""

    target_inputs: Inputs
    target_unlabelled: Subset
    """What a method may adapt to without labels."""
    source: Source | None
    shots: Subset | None
    """None where each episode has its own."""
    pool: Subset | None
    """Unlabelled target images that label-free validators look at."""
    held_out: dict[Partition, tuple[Inputs, Subset]]

    @property
    def labelled(self) -> Subset:
        """The shots."""
        assert self.shots is not None, "episodes draw their own"
        return self.shots


def open_partitions(cell: Cell, dataset: Dataset, view: Callable[[str], Inputs]) -> Partitions:
    """The roles of a cell's images; `view` opens a domain as the method takes it."""
    s = cell.scenario
    target = view(s.target)
    # By default other images than the method is tested on.
    seen = TEST if cell.transductive else TRAIN
    unlabelled = subset(dataset, s.target, s.target_classes, seen)
    source = None
    if s.source:
        source = Source(view(s.source), subset(dataset, s.source, s.source_classes, TRAIN))
    if s.episodes:
        return Partitions(target, unlabelled, source, None, None, {})
    shots = draw_shots(dataset, s.target, s.target_classes, s.shots, cell.seed)
    held_shots = None
    if cell.fold is not None and s.shots != 0:
        shots, held_shots = fold_of(shots, cell.fold)
    held_out: dict[Partition, tuple[Inputs, Subset]] = {
        "target-test": (target, subset(dataset, s.target, s.target_classes, TEST)),
        "target-validation": (target, subset(dataset, s.target, s.target_classes, VALIDATION)),
    }
    if held_shots is not None:
        held_out["shots-validation"] = (target, held_shots)
    if s.source and source:
        held_out["source-validation"] = (
            source.inputs,
            subset(dataset, s.source, s.source_classes, VALIDATION),
        )
    rest = unlabelled.without(shots)
    # What was trained on with labels says little; with `all` shots there is nothing else.
    pool = rest if len(rest) >= FEWEST else unlabelled
    return Partitions(target, unlabelled, source, shots, pool.take(picked(cell.seed, len(pool))), held_out)


def picked(seed: int, images: int) -> np.ndarray:
    """Positions of at most `POOL` images, the same at every look."""
    random = np.random.default_rng(stream(seed, "pool"))
    return np.sort(random.permutation(images)[:POOL])
