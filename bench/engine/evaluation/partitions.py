"""Partitions of a cell's items: trained on, adapted to, held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.core.seeds import stream
from bench.data.dataset import Dataset
from bench.data.splits import TEST, VALIDATION, Subset, draw_shots, first_rows, fold_of, pooled
from bench.engine.evaluation.validators import FEWEST
from bench.engine.training.inputs.base import Inputs
from bench.engine.training.inputs.pooled import PooledInputs
from bench.spec.cell import Cell, Domains, domain_names
from bench.spec.stages import Items, Partition, StageSpec

POOL_SIZE = 256
"""Most unlabelled target images, and most held-out source images, that label-free scores are computed of."""


@dataclass(frozen=True)
class View:
    """Items as the network takes them: rows of a domain's inputs, with labels and groups."""

    inputs: Inputs
    subset: Subset

    def __len__(self) -> int:
        return len(self.subset)

    def take(self, places: np.ndarray) -> View:
        """Items at these places."""
        return View(self.inputs, self.subset.take(places))


@dataclass
class Partitions:
    """Items of one cell. Only the trainer hands any of them to a method."""

    streams: dict[Items, View]
    """Items that stages train on."""
    target: View | None
    """Target items that a method may adapt to without labels; None where nobody may."""
    pool: View | None
    """Unlabelled target items for label-free scores; None where nobody sees any, or episodes have theirs."""
    held_out: dict[Partition, View]
    apart: np.ndarray = field(default_factory=lambda: np.arange(0))
    """Places of `POOL_SIZE` target validation items at most that no stage trains on, for distances."""
    parts: dict[Partition, np.ndarray] = field(default_factory=dict)
    """Number of each held-out item's part, int (items,), where the target has parts."""

    def of(self, items: Items) -> View:
        """Items of a stream, or of a partition that stages train on."""
        return self.streams[items]


def open_partitions(
    cell: Cell, dataset: Dataset, stages: Sequence[StageSpec], view: Callable[[str], Inputs]
) -> Partitions:
    """Partitions of a cell's items; `view` opens a domain as the method takes it."""
    scenario = cell.scenario
    inputs: dict[tuple[Domains, tuple[str, ...]], Inputs] = {}

    def open_view(domain: Domains, classes: tuple[str, ...], items: Subset) -> View:
        if (domain, classes) not in inputs:
            inputs[domain, classes] = _inputs(dataset, domain_names(domain), view)
        return View(inputs[domain, classes], items)

    def split(domain: Domains, classes: tuple[str, ...], part: str) -> View:
        return open_view(domain, classes, pooled(dataset, domain_names(domain), classes, part))

    def on_target(part: str) -> View:
        items = (scenario.target,), scenario.target_classes, part, scenario.absent, scenario.unknown
        return open_view(scenario.target, scenario.target_classes, pooled(dataset, *items))

    unlabelled = next((stage.unlabelled for stage in stages if stage.unlabelled), None)
    target = on_target(unlabelled.part) if unlabelled else None
    streams = {unlabelled: target} if unlabelled and target else {}
    for stage in stages:
        if (items := stage.labelled) and stage.shared:
            streams[items] = split(items.domain, items.classes, items.part)
    if scenario.episodes:
        return Partitions(streams, target, None, {})
    shots = draw_shots(dataset, scenario.target, scenario.target_classes, scenario.shots, cell.seed)
    held_shots = None
    if cell.fold is not None and scenario.shots != 0:
        shots, held_shots = fold_of(shots, cell.fold)
    for stage in stages:
        if stage.labelled and not stage.shared:
            streams[stage.labelled] = open_view(stage.labelled.domain, stage.labelled.classes, shots)
    whole = cell.unsplit
    held_out: dict[Partition, View] = {"target-test": on_target("all" if whole else TEST)}
    if target:
        held_out["target-validation"] = on_target("all" if whole else VALIDATION)
    if held_shots is not None:
        held_out["shots-validation"] = open_view(scenario.target, scenario.target_classes, held_shots)
    if scenario.source and not whole:
        held_out["source-validation"] = split(scenario.source, scenario.source_classes, VALIDATION)
    if target is None:
        return Partitions(streams, None, None, held_out)
    rest = View(target.inputs, target.subset.without(shots))
    # What was trained on with labels says little; with `all` shots there is nothing else.
    pool = rest if len(rest) >= FEWEST else target
    pool = pool.take(sample_places(cell.seed, len(pool)))
    trained_on = [items.subset.rows for stream, items in streams.items() if stream.domain == scenario.target]
    apart = np.flatnonzero(~np.isin(held_out["target-validation"].subset.rows, np.concatenate(trained_on)))
    return Partitions(streams, target, pool, held_out, apart[sample_places(cell.seed, len(apart))])


def _inputs(dataset: Dataset, domains: Sequence[str], view: Callable[[str], Inputs]) -> Inputs:
    """Inputs of a domain, or of several as one."""
    if len(domains) == 1:
        return view(domains[0])
    return PooledInputs(tuple(map(view, domains)), first_rows(dataset, domains))


def sample_places(seed: int, items: int) -> np.ndarray:
    """Places of at most `POOL_SIZE` items, sorted: the same at every evaluation."""
    random = np.random.default_rng(stream(seed, "pool"))
    return np.sort(random.permutation(items)[:POOL_SIZE])
