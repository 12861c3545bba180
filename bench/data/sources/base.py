"""Contract of sources: the request that they get, and the listing that they return."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.core.digest import combine
from bench.core.errors import UserError
from bench.data.sources.item import Item


class Absent(UserError):
    """Error of a source that has no copy of the dataset here; the next one is tried."""


@dataclass(frozen=True)
class SourceRequest:
    """Request of a card to its sources."""

    name: str
    domains: tuple[str, ...]
    classes: tuple[str, ...]
    cards: Path
    """Folder of the card, for tables beside it."""
    download: bool = True
    """True if a source may fetch files that are not here."""


@dataclass(frozen=True)
class Listing:
    """Listing of a copy of a dataset."""

    origin: str
    """Name of the copy in records, without the folders of one machine: `folder OfficeHome`."""
    digest: str
    """Digest that changes when the copy does; cheap, since every start computes it."""
    items: Callable[[], dict[str, list[Item]]]
    """Function that lists the items by domain; called only when no index of that digest is kept."""
    warnings: tuple[str, ...] = ()


def file_key(file: Path) -> str:
    """Digest of where a file lies and when it was changed: as cheap as it has to be at every start.

    Raises:
        Absent: there is none.
    """
    try:
        status = file.stat()
    except OSError as error:
        raise Absent(f"cannot read {file}: {error.strerror}") from None
    return combine(str(file), state_of(status), str(status.st_ino))


def state_of(status: os.stat_result) -> str:
    """Text that changes when a file is written again, whatever its times are set to."""
    # The second time also changes where the file may be read by others than before.
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def normalised(name: str) -> str:
    """Remove case and punctuation from a name: copies differ in both (`Real World`, `Real_World`)."""
    return re.sub(r"[\W_]+", "", name).casefold()


def alike(names: Iterable[str]) -> list[list[str]]:
    """Group names that differ only in case, accents, punctuation, or how Unicode writes them."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
        groups[normalised(plain) or name].append(name)
    return [group for group in groups.values() if len(group) > 1]


class NameLookup:
    """Lookup of the card's name for a name that a copy uses."""

    def __init__(self, names: Iterable[str]) -> None:
        self._known = {name: name for name in names}
        loose: dict[str, list[str]] = defaultdict(list)
        for name in self._known:
            loose[normalised(name)].append(name)
        # Two names that only case or punctuation tells apart (`C`, `C++`) are not matched but exactly.
        self._loose = {key: group[0] for key, group in loose.items() if key and len(group) == 1}

    def get(self, name: str) -> str | None:
        """Return the card's name; None where it has no such name."""
        return self._known.get(name) or self._loose.get(normalised(name))


SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Splits by the names that datasets are published with."""
