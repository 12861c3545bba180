"""Inputs of images: pixels as the network takes them, augmented and normalised."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from bench.engine.training.inputs.base import InputsRequest, onto
from bench.networks.backbones.image import normalisation


class Augmentation(Protocol):
    """Augmentation of training images before the network sees them."""

    @property
    def mirrors(self) -> bool:
        """True if images may come mirrored, which digits and letters must not."""
        ...

    def __call__(self, x: Tensor, seed: int) -> Tensor:
        """Other images (B, C, S, S) of the same type; the same for the same seed."""
        ...


@dataclass(frozen=True)
class ImageInputs:
    """Pixels out of the decode cache: uint8 (N, S, S, 3) -> normalised (B, 3, S, S)."""

    pixels: np.ndarray
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device
    channels_last: bool
    augment: Augmentation | None = None

    lengths = None

    @property
    def numbers(self) -> int:
        """Numbers of an image."""
        return int(np.prod(self.pixels.shape[1:]))

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pixels)

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


def image_inputs(request: InputsRequest) -> ImageInputs:
    """Inputs of images, normalised as those that the network was trained with."""
    mean, std = normalisation(request.backbone)
    return ImageInputs(
        *(request.decoded, mean, std, request.device, request.channels_last),
        augment=augmentation(request.augment, request.size),
    )


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
