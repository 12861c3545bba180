"""One image of a dataset, before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Item:
    """An image file with its class and its group.

    Images of one group show the same thing (or are copies) and must never be split apart; `name` is the
    same for the same thing in every domain where the dataset knows that.
    """

    name: str
    label: str
    group: str
    path: Path
