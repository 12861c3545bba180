"""Batches of a stage: a pure function of (seed, step), so that order never drifts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from bench.core.errors import UserError
from bench.core.seeds import stream
from bench.data.splits import Subset
from bench.engine.training.inputs.base import Inputs, onto
from bench.engine.training.inputs.pooled import PooledInputs
from bench.method.base import SecondView
from bench.method.batch import Batch, Episode


@lru_cache(maxsize=32)
def _order(seed: int, epoch: int, images: int) -> np.ndarray:
    """Order of a pass; anew for each step, that of many images would cost as much as the step."""
    order = np.random.default_rng(stream(seed, "order", epoch)).permutation(images)
    order.flags.writeable = False
    return order


def _in_passes(seed: int, places: np.ndarray, images: int) -> np.ndarray:
    """Images at these places of endless shuffled passes over so many."""
    picked = np.empty(len(places), dtype=np.int64)
    for epoch in np.unique(places // images).tolist():
        mine = places // images == epoch
        picked[mine] = _order(seed, epoch, images)[places[mine] % images]
    return picked


@dataclass(frozen=True)
class Endless:
    """Endless shuffled passes over a subset, of which any step can be asked for.

    Those of pooled domains take turns, item by item, each with passes of its own: however large the domains
    are, their shares of a batch differ by one item at most.
    """

    inputs: Inputs
    subset: Subset
    batch_size: int
    seed: int

    def take(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and labels of a step."""
        picked = self._picked(step)
        x = self.inputs.take(self.subset.rows[picked], stream(self.seed, "augment", step))
        return x, onto(torch.from_numpy(self.subset.labels[picked]), x.device)

    def unlabelled(self, step: int, second_view: SecondView | None) -> tuple[Tensor, Tensor | None, Tensor]:
        """Inputs of a step, a second view of them if asked for, and their places in the subset."""
        picked = self._picked(step)
        rows = self.subset.rows[picked]
        x, second = self.inputs.take(rows, stream(self.seed, "augment", step)), None
        if second_view:
            second = self.inputs.take(rows, stream(self.seed, "second", step), strong=second_view == "strong")
        return x, second, onto(torch.from_numpy(picked), x.device)

    def domains(self, step: int) -> Tensor | None:
        """Numbers of the domains of a step's items, (B,); None where there is but one domain."""
        if not isinstance(self.inputs, PooledInputs):
            return None
        return torch.from_numpy(self.inputs.domains(self.subset.rows[self._picked(step)]))

    @cached_property
    def _by_domain(self) -> list[np.ndarray]:
        """Places of each domain's items in a subset of several; of none in one of a single domain."""
        if not isinstance(self.inputs, PooledInputs):
            return []
        domains = self.inputs.domains(self.subset.rows)
        return [np.flatnonzero(domains == number) for number in np.unique(domains)]

    def _picked(self, step: int) -> np.ndarray:
        places = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        turns = len(self._by_domain)
        if turns < 2:
            return _in_passes(self.seed, places, len(self.subset))
        picked = np.empty(self.batch_size, dtype=np.int64)
        for turn, mine in enumerate(self._by_domain):
            its = places % turns == turn
            seed = stream(self.seed, "domain", turn)
            picked[its] = mine[_in_passes(seed, places[its] // turns, len(mine))]
        return picked


@dataclass(frozen=True)
class Episodes:
    """Endless episodes of a subset; only classes with enough images take part.

    Raises:
        UserError: fewer classes than the episode's ways have enough images.
    """

    inputs: Inputs
    subset: Subset
    episode: Episode
    seed: int

    def __post_init__(self) -> None:
        need = self.episode.support + self.episode.query
        enough = int((np.bincount(self.subset.labels) >= need).sum())
        if enough < self.episode.way:
            raise UserError(
                f"{self.episode.way}-way episodes with {need} items a class, "
                f"but only {enough} classes have as many training items"
            )

    @property
    def batch_size(self) -> int:
        """Images of a step."""
        return self.episode.images

    def take(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and the episode's own labels: all support images class by class, then all queries."""
        e = self.episode
        random = np.random.default_rng(stream(self.seed, "episode", step))
        able = np.flatnonzero(np.bincount(self.subset.labels) >= e.support + e.query)
        drawn = np.stack(
            [
                random.permutation(np.flatnonzero(self.subset.labels == label))[: e.support + e.query]
                for label in random.permutation(able)[: e.way]
            ]
        )
        picked = np.concatenate([drawn[:, : e.support].ravel(), drawn[:, e.support :].ravel()])
        x = self.inputs.take(self.subset.rows[picked], stream(self.seed, "augment", step))
        ways = np.arange(e.way)
        labels = np.concatenate([np.repeat(ways, e.support), np.repeat(ways, e.query)])
        return x, onto(torch.from_numpy(labels), x.device)


@dataclass(frozen=True)
class Batches:
    """Batches of a stage, made of its streams; those that the method may not see are absent."""

    labelled: Endless | Episodes | None
    source: Endless | None = None
    target: Endless | None = None
    source_labels: bool = True
    """Whether labels of replayed source images mean what the head says."""
    second_view: SecondView | None = None
    """Second view of the target's images."""
    with_domains: bool = False
    """Whether the method sees which source an item is of."""

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        source_x, source_y = self.source.take(step) if self.source else (None, None)
        source_y = source_y if self.source_labels else None
        # Labels of unlabelled images stop here: a method's batch has no room for them.
        target = self.target.unlabelled(step, self.second_view) if self.target else (None, None, None)
        target_x, second, places = target
        if self.labelled:
            x, y = self.labelled.take(step)
        else:
            assert target_x is not None, "a stage without labels has unlabelled images"
            x, y = target_x[:0], torch.empty(0, dtype=torch.long, device=target_x.device)
        episode = self.labelled.episode if isinstance(self.labelled, Episodes) else None
        return Batch(
            x,
            y,
            source_x,
            source_y,
            target_x,
            episode,
            second,
            places,
            domain=self._domains(self.labelled, step, x.device),
            source_domain=self._domains(self.source, step, x.device),
        )

    def _domains(self, items: Endless | Episodes | None, step: int, device: torch.device) -> Tensor | None:
        if not self.with_domains or not isinstance(items, Endless):
            return None
        domains = items.domains(step)
        return None if domains is None else onto(domains, device)

    @property
    def batch_size(self) -> int:
        """Images of a step in its first stream."""
        return next(iter(self.sizes.values()))

    @property
    def sizes(self) -> dict[str, int]:
        """Items that a step takes, by stream as `bench.records.record.StageCost` names them."""
        streams = {"labelled": self.labelled, "replayed": self.source, "unlabelled": self.target}
        return {name: stream.batch_size for name, stream in streams.items() if stream}
