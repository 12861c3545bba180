"""Inputs of several domains as one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.core.seeds import stream
from bench.engine.training.inputs.base import Inputs, onto


@dataclass(frozen=True)
class PooledInputs:
    """Inputs of several domains as one: the rows of each follow those of the one before.

    `starts` (domains,) are the first rows. Each domain draws its augmentation from a stream of its own.
    """

    parts: tuple[Inputs, ...]
    starts: np.ndarray

    @property
    def numbers(self) -> int:
        """Numbers of an item, which are the same in every domain."""
        return self.parts[0].numbers

    @property
    def lengths(self) -> np.ndarray | None:
        """Places of each item that are no padding; None where items have none."""
        found = [part.lengths for part in self.parts]
        known = [lengths for lengths in found if lengths is not None]
        return np.concatenate(known) if len(known) == len(found) else None

    def __len__(self) -> int:
        """Number of items of all domains."""
        return sum(map(len, self.parts))

    def domains(self, rows: np.ndarray) -> np.ndarray:
        """Number of each row's domain: (B,)."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def take(self, rows: np.ndarray, augment_seed: int | None = None, strong: bool = False) -> Tensor:
        """Inputs of these rows, in their order."""
        domains = self.domains(rows)
        found, places = [], []
        for number in np.unique(domains).tolist() or [0]:
            mine = np.flatnonzero(domains == number)
            seed = None if augment_seed is None else stream(augment_seed, "domain", number)
            found.append(self.parts[number].take(rows[mine] - self.starts[number], seed, strong))
            places.append(mine)
        x = torch.cat(found)
        back = np.argsort(np.concatenate(places))
        return x if (np.diff(back) == 1).all() else x[onto(torch.from_numpy(back), x.device)]
