"""Items of a stage for closed forms and hooks, read in batches when they are asked for."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from bench.core.errors import UserError
from bench.processes.memory import in_parts

AT_ONCE = 256
"""Items of a batch, unless others are asked for."""

Read = Callable[[int, int], Tensor]
"""Reads the items from one place to another, not augmented."""

# Not in the items themselves: a method holds those, and what reads a stage's items leads to all others.
_READERS: dict[int, Read] = {}
_NUMBERS = itertools.count()


class Extractor(Protocol):
    """Network that tells features from a classifier's logits."""

    def features(self, x: Tensor) -> Tensor:
        """Pooled features (B, D)."""
        ...


@dataclass(frozen=True)
class Items:
    """Items of one stream, not augmented; labels y (N,) and groups (N,) where it is a labelled one.

    domain: (N,) numbers of the sources that they are of, where there are several and `access` asks for it.

    An item is an image (3, S, S), or its activation at the method's split point.
    """

    number: int
    count: int
    y: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    groups: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int32))
    domain: Tensor | None = None

    def __len__(self) -> int:
        return self.count

    def batches(self, size: int = AT_ONCE) -> Iterator[Tensor]:
        """Read all items in order, (B, ...) at a time."""
        read = _READERS.get(self.number)
        if read is None:
            raise UserError("a method keeps items of a stage that is over: use them in its verbs only")
        for start in range(0, self.count, size):
            yield read(start, min(start + size, self.count))

    @property
    def x(self) -> Tensor:
        """All items at once: (N, ...). Of a few; `batches` for many."""
        return torch.cat(list(self.batches()))

    @torch.no_grad()
    def features(self, model: Extractor) -> Tensor:
        """Pooled features of all items: (N, D); of fewer at once where memory does not hold a batch."""
        return torch.cat([part for x in self.batches() for part in in_parts(model.features, x)])


@dataclass(frozen=True)
class StageItems:
    """Items that a method may see in a stage: labelled ones, and unlabelled ones of the target if any."""

    labelled: Items
    unlabelled: Items | None = None


@contextlib.contextmanager
def opened(
    read: Read,
    count: int,
    y: Tensor | None = None,
    groups: Tensor | None = None,
    domain: Tensor | None = None,
) -> Iterator[Items]:
    """Items that can be read during the block."""
    number = next(_NUMBERS)
    _READERS[number] = read
    try:
        yield Items(number, count) if y is None or groups is None else Items(number, count, y, groups, domain)
    finally:
        del _READERS[number]


def even_share(y: Tensor, most: int) -> Tensor:
    """Places (K,) of at most so many of the items with labels (N,), with the classes' shares kept.

    A plan has a number for each pair of items, and carries all mass of a class somewhere. A fit before a
    loop leaves the loop its part of a budget.
    """
    count = min(most, len(y))
    return y.argsort(stable=True)[torch.arange(count, device=y.device) * len(y) // count]
