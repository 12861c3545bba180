"""Batches, tasks and access: the items that a method is handed, and the declaration of which it may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Flag, auto
from typing import Any

import torch
from torch import Tensor

from bench.core.errors import UserError
from bench.spec.cell import USUAL, Recipe


class Access(Flag):
    """Access of a method to streams of items. The engine hands out nothing else."""

    NOTHING = 0
    SOURCE_LABELS = auto()
    """Labelled source images in the source stage."""
    SOURCE_REPLAY = auto()
    """Labelled source images in the target stage too, or those of earlier tasks in later ones."""
    TARGET_IMAGES = auto()
    """Unlabelled target training images, in both stages."""
    TARGET_LABELS = auto()
    """The shots, in the target stage."""
    SOURCE_DOMAINS = auto()
    """Which source each labelled source image is of, where there are several."""
    TASKS = auto()
    """Several tasks, one after the other."""
    CLIENTS = auto()
    """Several clients side by side, and which one each labelled image is of."""
    UNKNOWN_CLASSES = auto()
    """Unlabelled target images of classes that the source lacks."""
    CLASS_NAMES = auto()
    """New classes of which nothing is there but their names."""


StageName = str
"""Name of a stage: `source`; `target` with labels, or `adapt` without any; `task-1` and so on."""


@dataclass(frozen=True)
class Task:
    """Task of a stage: its classes, batch size and seed, and the recipe of training.

    before: what the method found in the stage before.
    place: of the stage among those of the method, from 0.
    clients, local_steps: of a federated scenario, else 0: steps of a client between two rounds.
    """

    stage: StageName
    classes: tuple[str, ...]
    batch_size: int
    seed: int
    recipe: Recipe = USUAL
    before: Mapping[str, Any] = field(default_factory=dict, hash=False)
    place: int = 0
    clients: int = 0
    local_steps: int = 0


@dataclass(frozen=True)
class Episode:
    """Form of a step for methods that learn to learn: a small task of its own.

    `way` classes with `support` images each to learn from and `query` images each to be tested on.
    """

    way: int
    support: int
    query: int

    def __post_init__(self) -> None:
        if min(self.way - 1, self.support, self.query) < 1:
            raise UserError(
                f"an episode of {self.way} ways, {self.support} support and {self.query} query images "
                "is too small: use larger batches"
            )

    @property
    def learnt(self) -> int:
        """Images of one episode to learn from."""
        return self.way * self.support

    @property
    def images(self) -> int:
        """Images of one episode."""
        return self.way * (self.support + self.query)


@dataclass(frozen=True)
class Batch:
    """Images of one step, normalised, on the device: (B, 3, S, S), or activations at the split point.

    `x`, `y` are the labelled images of the stage: the source's, or the shots; none where it has no labels.
    The others are there where `access` asks for them and the scenario has them; `source_y` only where the
    target's classes are the source's, `target_second` where the method asks for a second view. `target_at`
    (B,) are the places of the unlabelled images among those of the stage, which are in random order. In an
    episode `y` counts the episode's own classes, and the first `learnt` images are its support, class
    by class; then come its queries. `domain` and `source_domain` (B,) number the sources that `x` and
    `source_x` are of, where there are several and `access` asks for it.
    """

    x: Tensor
    y: Tensor
    source_x: Tensor | None = None
    source_y: Tensor | None = None
    target_x: Tensor | None = None
    episode: Episode | None = None
    target_second: Tensor | None = None
    target_at: Tensor | None = None
    domain: Tensor | None = None
    source_domain: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x) if len(self.x) or self.target_x is None else len(self.target_x)

    @property
    def sides(self) -> tuple[int, int, int]:
        """Sides of `x`, `source_x` and `target_x`: 0 the source's (of all sources), 1 the target's.

        Labelled items are the source's, but where its items are replayed beside the target's.
        """
        return 0 if self.source_x is None else 1, 0, 1

    def known(self) -> tuple[Tensor, Tensor]:
        """Labelled items and replayed ones whose labels are known: x (N, ...), y (N,)."""
        if self.source_x is None or self.source_y is None:
            return self.x, self.y
        return torch.cat([self.x, self.source_x]), torch.cat([self.y, self.source_y])

    def slice(self, place: int, size: int) -> Batch:
        """Return one of `size` slices of a plain batch, with its rows of every stream."""
        begin, end = slice_bounds(len(self), place, size)

        def rows(stream: Tensor | None) -> Tensor | None:
            assert stream is None or len(stream) == len(self), "all streams of a batch are equally long"
            return None if stream is None else stream[begin:end]

        return replace(
            self,
            x=self.x[begin:end],
            y=self.y[begin:end],
            source_x=rows(self.source_x),
            source_y=rows(self.source_y),
            target_x=rows(self.target_x),
            target_second=rows(self.target_second),
            target_at=rows(self.target_at),
            domain=rows(self.domain),
            source_domain=rows(self.source_domain),
        )


def slice_bounds(items: int, place: int, size: int) -> tuple[int, int]:
    """Begin and end of one of `size` slices: they differ by at most one item, the larger ones first."""
    each, more = divmod(items, size)
    begin = place * each + min(place, more)
    return begin, begin + each + (place < more)


@dataclass(frozen=True)
class Labelled:
    """All labelled images of a stage at once, not augmented: x (N, ...), y (N,), groups (N,).

    `x` are images (N, 3, S, S), or their activations at the method's split point.
    """

    x: Tensor
    y: Tensor
    groups: Tensor
