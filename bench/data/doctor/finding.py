"""Findings of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Level = Literal["fault", "note"]


@dataclass(frozen=True)
class Finding:
    """Finding about a copy: a `fault`, or a `note` that is worth knowing but no fault."""

    kind: str
    level: Level
    message: str
    images: tuple[str, ...] = ()


class Look(NamedTuple):
    """What a look at every item of a dataset found."""

    unreadable: list[Finding]
    others: list[Finding]
    summaries: dict[str, dict[str, float | None]]
    """Means over the items of each domain, by what they are of."""
