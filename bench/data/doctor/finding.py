"""Findings of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["fault", "note"]


@dataclass(frozen=True)
class Finding:
    """Finding about a copy: a `fault`, or a `note` that is worth knowing but no fault."""

    kind: str
    level: Level
    message: str
    images: tuple[str, ...] = ()
