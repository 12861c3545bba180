"""What a stage trains on: batches that are a pure function of (seed, step), so that order never drifts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from bench.core.errors import UserError
from bench.core.seeds import stream
from bench.data.splits import Subset
from bench.method.batch import Batch, Episode


class Inputs(Protocol):
    """The images of one domain, as the network takes them."""

    def take(self, rows: np.ndarray, augment_seed: int | None = None) -> Tensor:
        """Inputs of these rows on the device; augmented when a seed is given."""
        ...


class Augmentation(Protocol):
    """How training images are changed before the network sees them."""

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

    def take(self, rows: np.ndarray, augment_seed: int | None = None) -> Tensor:
        """Normalised images (B, 3, S, S)."""
        x = onto(torch.from_numpy(self.pixels[rows]), self.device).permute(0, 3, 1, 2)
        if augment_seed is not None and self.augment is not None:
            x = self.augment(x, augment_seed)
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
    """What a frozen part of the network made of the images, kept: (N, ...), on the device.

    `views` (V, M, ...) are augmented views of the M images with a place in `places` (N,), -1 for none.
    """

    clean: Tensor
    views: Tensor | None = None
    places: np.ndarray | None = None

    def take(self, rows: np.ndarray, augment_seed: int | None = None) -> Tensor:
        """Activations (B, ...); with a seed, of a random view each, where views are kept."""
        if augment_seed is None or self.views is None or self.places is None:
            return self.clean[onto(torch.from_numpy(rows), self.clean.device)]
        chosen = np.random.default_rng(augment_seed).integers(len(self.views), size=len(rows))
        places = (torch.from_numpy(chosen), torch.from_numpy(self.places[rows]))
        return self.views[tuple(onto(place, self.views.device) for place in places)]


def augmentation(name: str, size: int) -> Augmentation | None:
    """The augmentation of images of `size` pixels that a suite names."""
    if name == "none":
        return None
    if name == "rand-augment":
        # Two operations of medium strength, the defaults of Cubuk et al. 2019 (arXiv:1909.13719).
        return OneByOne(v2.Compose([v2.RandomHorizontalFlip(), v2.RandAugment()]))
    return CropFlip(max(1, size // 10))


@dataclass(frozen=True)
class CropFlip:
    """Each image moved by up to `pad` pixels, its edge repeated, and mirrored in half of the cases.

    A padded crop and a flip, as one gather for the whole batch: image by image they would cost an accelerator
    more than its training step.
    """

    pad: int

    def __call__(self, x: Tensor, seed: int) -> Tensor:
        """Images (B, C, S, S)."""
        size = x.shape[-1]
        random = torch.Generator().manual_seed(seed)
        moved = torch.randint(-self.pad, self.pad + 1, (2, len(x), 1), generator=random)
        mirrored = torch.rand(len(x), 1, generator=random) < 0.5
        rows, columns = (torch.arange(size) + moved).clamp_(0, size - 1)
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

    def __call__(self, x: Tensor, seed: int) -> Tensor:
        """Images (B, C, S, S)."""
        # From a stream that nothing else draws on.
        with torch.random.fork_rng(devices=[]):
            # The CPU's alone: an accelerator's is not forked here.
            torch.default_generator.manual_seed(seed)
            return torch.stack([self.transform(image) for image in x])


@lru_cache(maxsize=8)
def _order(seed: int, epoch: int, images: int) -> np.ndarray:
    """The order of a pass; anew for each step, that of many images would cost as much as the step."""
    order = np.random.default_rng(stream(seed, "order", epoch)).permutation(images)
    order.flags.writeable = False
    return order


@dataclass(frozen=True)
class Endless:
    """Endless shuffled passes over a subset, of which any step can be asked for."""

    inputs: Inputs
    subset: Subset
    batch_size: int
    seed: int

    def take(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and labels of a step."""
        n = len(self.subset)
        places = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        picked = np.empty(self.batch_size, dtype=np.int64)
        for epoch in np.unique(places // n).tolist():
            mine = places // n == epoch
            picked[mine] = _order(self.seed, epoch, n)[places[mine] % n]
        x = self.inputs.take(self.subset.rows[picked], stream(self.seed, "augment", step))
        return x, onto(torch.from_numpy(self.subset.labels[picked]), x.device)


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
                f"{self.episode.way}-way episodes with {need} images a class, "
                f"but only {enough} classes have as many training images"
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
class Feed:
    """The streams of a stage; those that the method may not see are absent."""

    labelled: Endless | Episodes
    source: Endless | None = None
    target: Endless | None = None
    source_labels: bool = True
    """Whether labels of replayed source images mean what the head says."""

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        x, y = self.labelled.take(step)
        source_x, source_y = self.source.take(step) if self.source else (None, None)
        source_y = source_y if self.source_labels else None
        # Labels of unlabelled images stop here: a method's batch has no room for them.
        target_x = self.target.take(step)[0] if self.target else None
        episode = self.labelled.episode if isinstance(self.labelled, Episodes) else None
        return Batch(x, y, source_x, source_y, target_x, episode)

    @property
    def sizes(self) -> dict[str, int]:
        """Images that a step takes, by stream as `bench.records.record.Cost` names them."""
        streams = {"labelled": self.labelled, "replayed": self.source, "unlabelled": self.target}
        return {name: stream.batch_size for name, stream in streams.items() if stream}
