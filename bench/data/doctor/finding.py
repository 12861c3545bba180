"""What the doctor says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["fault", "note"]


@dataclass(frozen=True)
class Finding:
    """Something found; a `note` is worth knowing and wrong in no way."""

    kind: str
    level: Level
    message: str
    images: tuple[str, ...] = ()
