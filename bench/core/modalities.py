"""Modalities: the kinds of items that datasets hold, and the words, sizes and augmentations of each.

A modality's items are arrays of one shape, decoded once. It has a file of its name in `bench/data/decoders/`
(from stored bytes to arrays), in `bench/engine/training/inputs/` (what a network takes) and in
`bench/networks/backbones/` (networks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from bench.core.errors import UserError, did_you_mean
from bench.core.text import counted


@dataclass(frozen=True)
class Modality:
    """Kind of items of a dataset, as suites and messages speak of it."""

    item: str
    """One item, in messages."""
    items: str
    unit: str
    """Unit of an item's size, which suites call `image_size`: of the side of a square image."""
    least: int
    most: int
    """Range of sizes."""
    augmentations: tuple[str, ...]
    """Augmentations of training items that suites may name."""

    def counted(self, count: int) -> str:
        """Number of items in words, as `3 images`."""
        return counted(count, self.item, self.items)

    def check(self, size: int, augment: str) -> None:
        """Check the size and the augmentation of a suite.

        Raises:
            UserError: there are no such ones.
        """
        if not self.least <= size <= self.most:
            raise UserError(
                f"image_size = {size}: {self.items} are of {self.least} to {self.most} {self.unit}"
            )
        if augment not in self.augmentations:
            known = ", ".join(self.augmentations)
            raise UserError(f"augment = '{augment}' is none of {self.items}: use {known}")


MODALITIES = {
    "image": Modality(
        *("image", "images", "px", 8, 1024),
        augmentations=("crop-flip", "crop", "resized-crop", "rand-augment", "none"),
    ),
    "text": Modality(*("text", "texts", "tokens", 8, 512), augmentations=("word-dropout", "none")),
    "table": Modality(*("row", "rows", "columns", 1, 4096), augmentations=("none",)),
    "sequence": Modality(*("sequence", "sequences", "letters", 4, 4096), augmentations=("none",)),
}
"""Modalities by name."""


def _is_a_modality(name: str) -> str:
    if name not in MODALITIES:
        raise ValueError(f"there is no modality '{name}': {did_you_mean(name, MODALITIES)}")
    return name


ModalityName = Annotated[str, AfterValidator(_is_a_modality)]
