"""What every kind of source is asked, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import UserError
from bench.data.sources.item import Item


class Absent(UserError):
    """This source has no copy of the dataset here; the next one is tried."""


@dataclass(frozen=True)
class SourceRequest:
    """What a card asks of its sources."""

    name: str
    domains: tuple[str, ...]
    classes: tuple[str, ...]
    cards: Path
    """Folder of the card, for tables beside it."""
    download: bool = True
    """Whether a source may fetch what is not here."""


@dataclass(frozen=True)
class Listing:
    """A copy that was found."""

    origin: str
    """NameLookup the copy in records, without the folders of one machine: `folder OfficeHome`."""
    digest: str
    """Changes when the copy does; cheap to compute, since every start computes it."""
    items: Callable[[], dict[str, list[Item]]]
    """By domain; called only when no index of that digest is kept."""
    warnings: tuple[str, ...] = ()


def normalised(name: str) -> str:
    """A name without case and punctuation: copies differ in both (`Real World`, `Real_World`)."""
    return re.sub(r"[\W_]+", "", name).casefold()


class NameLookup:
    """Looks up the card's name for a name that a copy uses."""

    def __init__(self, names: Iterable[str]) -> None:
        self._known = {name: name for name in names}
        for name in tuple(self._known):
            self._known.setdefault(normalised(name), name)

    def get(self, name: str) -> str | None:
        """The card's name, or None."""
        return self._known.get(name) or self._known.get(normalised(name))
