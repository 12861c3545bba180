"""Item of a dataset: an image before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Item:
    """Image with its class and its group.

    Images of one group show the same thing (or are copies) and must never be split apart; `name` is the
    same for the same thing in every domain where the dataset knows that. A source that knows neither leaves
    them empty: then the image's content stands for both, so that they do not depend on where a copy lies.
    """

    name: str
    label: str
    group: str
    path: Path
    """Path of an image file, or of a container of many: a parquet shard or an array of images."""
    row: int | None = None
    """Row of the image in its container."""
    split: str = ""
    """Split, `train`, `validation` or `test`, where the dataset is published with one."""
