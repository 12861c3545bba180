"""Inputs: items of a domain as the network takes them, augmented and normalised."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from bench.core.errors import UserError
from bench.core.seeds import stream


class Inputs(Protocol):
    """The images of one domain, as the network takes them."""

    def take(self, rows: np.ndarray, augment_seed: int | None = None, strong: bool = False) -> Tensor:
        """Inputs of these rows on the device; augmented when a seed is given, strongly if asked for."""
        ...


class Augmentation(Protocol):
    """Augmentation of training images before the network sees them."""

    @property
    def mirrors(self) -> bool:
        """True if images may come mirrored, which digits and letters must not."""
        ...

    def __call__(self, x: Tensor, seed: int) -> Tensor:
        """Other images (B, C, S, S) of the same type; the same for the same seed."""
        ...


def onto(x: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device. An accelerator is given the copy to do: neither waits for it."""
    return x if device.type == "cpu" else x.pin_memory().to(device, non_blocking=True)


@dataclass(frozen=True)
class ImageInputs:
    """Pixels out of the decode cache: uint8 (N, S, S, 3) -> normalised (B, 3, S, S)."""

    pixels: np.ndarray
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device
    channels_last: bool
    augment: Augmentation | None = None

    def take(self, rows: np.ndarray, augment_seed: int | None = None, strong: bool = False) -> Tensor:
        """Normalised images (B, 3, S, S)."""
        x = onto(torch.from_numpy(self.pixels[rows]), self.device).permute(0, 3, 1, 2)
        mirrors = self.augment is None or self.augment.mirrors
        augment = rand_augment(mirrors) if strong else self.augment
        if augment_seed is not None and augment is not None:
            x = augment(x, augment_seed)
        # By whole lines of pixels: what is computed three numbers at a time takes a CPU twice as long.
        lines = x.permute(0, 2, 3, 1).flatten(2).float().sub_(self._mean).div_(self._std)
        return (
            lines.unflatten(2, (-1, 3))
            .permute(0, 3, 1, 2)
            .contiguous(memory_format=torch.channels_last if self.channels_last else torch.contiguous_format)
        )

    @cached_property
    def _mean(self) -> Tensor:
        """(3 S) of a line's pixels, from 0 to 255, on the device once and for all."""
        return self._line(self.mean)

    @cached_property
    def _std(self) -> Tensor:
        return self._line(self.std)

    def _line(self, of_channels: tuple[float, ...]) -> Tensor:
        return torch.tensor(of_channels).mul_(255).repeat(self.pixels.shape[2]).to(self.device)


@dataclass(frozen=True)
class KeptInputs:
    """Features that a frozen part of the network made of the images: (N, ...), on the device.

    `views` (V, M, ...) are augmented views of the M images with a place in `places` (N,), -1 for none.
    """

    clean: Tensor
    views: Tensor | None = None
    places: np.ndarray | None = None

    def take(self, rows: np.ndarray, augment_seed: int | None = None, strong: bool = False) -> Tensor:
        """Activations (B, ...); with a seed, of a random view each, where views are kept.

        Raises:
            UserError: strongly augmented ones are asked for, which are not kept.
        """
        if strong:
            raise UserError("a method with a split point has no strong second view: images are needed for it")
        if augment_seed is None or self.views is None or self.places is None:
            return self.clean[onto(torch.from_numpy(rows), self.clean.device)]
        chosen = np.random.default_rng(augment_seed).integers(len(self.views), size=len(rows))
        places = (torch.from_numpy(chosen), torch.from_numpy(self.places[rows]))
        return self.views[tuple(onto(place, self.views.device) for place in places)]


@dataclass(frozen=True)
class PooledInputs:
    """Inputs of several domains as one: the rows of each follow those of the one before.

    `starts` (domains,) are the first rows. Each domain draws its augmentation from a stream of its own.
    """

    parts: tuple[Inputs, ...]
    starts: np.ndarray

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


def augmentation(name: str, size: int) -> Augmentation | None:
    """The augmentation of images of `size` pixels that a suite names."""
    if name == "none":
        return None
    if name == "rand-augment":
        return rand_augment(mirrors=True)
    if name == "resized-crop":
        # As networks are trained on ImageNet: 8 to 100 % of an image, its sides as 3 : 4 to 4 : 3.
        return OneByOne(v2.Compose([v2.RandomHorizontalFlip(), v2.RandomResizedCrop(size, antialias=True)]))
    return CropFlip(max(1, size // 10), mirrors=name == "crop-flip")


def rand_augment(mirrors: bool) -> OneByOne:
    """RandAugment of two operations of medium strength, defaults of Cubuk et al. 2019 (arXiv:1909.13719)."""
    flip = [v2.RandomHorizontalFlip()] if mirrors else []
    return OneByOne(v2.Compose([*flip, v2.RandAugment()]), mirrors)


@dataclass(frozen=True)
class CropFlip:
    """Each image moved by up to `pad` pixels, its edge repeated, and mirrored in half of the cases or never.

    A padded crop and a flip, as one gather for the whole batch: image by image they would cost an accelerator
    more than its training step.
    """

    pad: int
    mirrors: bool = True

    def __call__(self, x: Tensor, seed: int) -> Tensor:
        """Images (B, C, S, S)."""
        size = x.shape[-1]
        random = torch.Generator().manual_seed(seed)
        moved = torch.randint(-self.pad, self.pad + 1, (2, len(x), 1), generator=random)
        mirrored = torch.rand(len(x), 1, generator=random) < 0.5
        rows, columns = (torch.arange(size) + moved).clamp_(0, size - 1)
        if self.mirrors:
            columns = torch.where(mirrored, columns.flip(1), columns)
        images, rows, columns = (
            onto(places, x.device)
            for places in (torch.arange(len(x))[:, None, None], rows[:, :, None], columns[:, None, :])
        )
        return x.permute(0, 2, 3, 1)[images, rows, columns].permute(0, 3, 1, 2)


@dataclass(frozen=True)
class OneByOne:
    """A transform that draws once per call, so each image gets a call of its own."""

    transform: v2.Transform
    mirrors: bool = True

    def __call__(self, x: Tensor, seed: int) -> Tensor:
        """Images (B, C, S, S)."""
        # From a stream that nothing else draws on.
        with torch.random.fork_rng(devices=[]):
            # The CPU's alone: an accelerator's is not forked here.
            torch.default_generator.manual_seed(seed)
            return torch.stack([self.transform(image) for image in x])
