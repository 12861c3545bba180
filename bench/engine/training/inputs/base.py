"""Contract of inputs: items of a domain as the network takes them, or what a frozen part made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bench.core.errors import UserError
from bench.core.seeds import stream


class Inputs(Protocol):
    """The items of one domain, as the network takes them."""

    @property
    def numbers(self) -> int:
        """Numbers of an item that a network begins with, by which evaluation batches are sized."""
        ...

    @property
    def lengths(self) -> np.ndarray | None:
        """Places (N,) of each item that are no padding; None where items have none."""
        ...

    def __len__(self) -> int:
        """Number of items."""
        ...

    def take(self, rows: np.ndarray, augment_seed: int | None = None, strong: bool = False) -> Tensor:
        """Inputs of these rows on the device; augmented when a seed is given, strongly if asked for."""
        ...


@dataclass(frozen=True)
class InputsRequest:
    """Request for the inputs of a domain."""

    decoded: np.ndarray
    """Items (N, ...), as the modality's decoder left them."""
    size: int
    backbone: str
    """Name of the network that takes them."""
    augment: str
    device: torch.device
    channels_last: bool
    reference: Callable[[], np.ndarray]
    """Decoded items that the cell's first stage trains on: what inputs are fitted to, if to anything."""


def in_batches(
    inputs: Inputs, rows: np.ndarray, size: int, seed: int | None = None
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Batches of items that are computed each alone, with their places among `rows`; augmented with a seed.

    Items of like lengths come together, without what is padding in all of them.
    """
    lengths = None if inputs.lengths is None else inputs.lengths[rows]
    order = np.arange(len(rows)) if lengths is None else np.argsort(lengths, kind="stable")
    for start in range(0, len(rows), size):
        places = order[start : start + size]
        x = inputs.take(rows[places], None if seed is None else stream(seed, start))
        yield places, x if lengths is None else x[:, : max(1, int(lengths[places].max()))]


def onto(x: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device. An accelerator is given the copy to do: neither waits for it."""
    return x if device.type == "cpu" else x.pin_memory().to(device, non_blocking=True)


@dataclass(frozen=True)
class KeptInputs:
    """Features that a frozen part of the network made of the items: (N, ...), on the device.

    `views` returns augmented views (V, M, ...) of the M items with a place in `places` (N,), -1 for none; it
    is called when the first one is asked for.
    """

    clean: Tensor
    views: Callable[[], Tensor] | None = None
    places: np.ndarray | None = None

    lengths = None

    @property
    def numbers(self) -> int:
        """Numbers of an activation."""
        return self.clean[0].numel()

    def __len__(self) -> int:
        """Number of items."""
        return len(self.clean)

    def take(self, rows: np.ndarray, augment_seed: int | None = None, strong: bool = False) -> Tensor:
        """Activations (B, ...); with a seed, of a random view each, where views are kept.

        Raises:
            UserError: strongly augmented ones are asked for, which are not kept.
        """
        if strong:
            raise UserError("a method with a split point has no strong second view: images are needed for it")
        if augment_seed is None or self.views is None or self.places is None:
            return self.clean[onto(torch.from_numpy(rows), self.clean.device)]
        views = self.views()
        chosen = np.random.default_rng(augment_seed).integers(len(views), size=len(rows))
        places = (torch.from_numpy(chosen), torch.from_numpy(self.places[rows]))
        return views[tuple(onto(place, views.device) for place in places)]
