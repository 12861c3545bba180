"""Faults of texts: empty ones, long ones, and such that only case and punctuation tells apart."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from bench.core.digest import combine
from bench.core.text import counted
from bench.data.dataset import Dataset
from bench.data.decoders.base import Unreadable
from bench.data.decoders.text import CHARACTERS, as_text, decode
from bench.data.doctor.finding import Finding
from bench.data.index import Progress
from bench.data.sources.encoded import encoded_images
from bench.data.splits import SPLITS, splits

LONG = 128
"""Tokens beyond which a text is long: suites cut texts at about as many, or fewer."""
MOST = 512
"""Most tokens that a suite can ask for."""


@dataclass
class Read:
    """What was seen of the texts, by (domain, row)."""

    lengths: dict[tuple[str, int], int] = field(default_factory=dict)
    """Characters."""
    plain: dict[tuple[str, int], str] = field(default_factory=dict)
    """Digest of the words alone, in lower case."""
    unreadable: dict[tuple[str, int], str] = field(default_factory=dict)
    """Reasons why texts cannot be read."""


def read_texts(dataset: Dataset, progress: Progress) -> Read:
    """Read every text of a dataset."""
    read = Read()
    for name, domain in dataset.domains.items():
        for done, (row, encoded) in enumerate(encoded_images(domain.places), 1):
            try:
                text = as_text(decode(encoded, MOST))
            except Unreadable as reason:
                read.unreadable[name, row] = str(reason)
                continue
            read.lengths[name, row] = len(text)
            read.plain[name, row] = combine(" ".join(re.findall(r"\w+", text.lower())))
            progress(f"look at {name}", done, len(domain.places))
    return read


def faults(dataset: Dataset, read: Read) -> Iterator[Finding]:
    """Find texts that cannot be read, are long, or are the same words as others."""
    yield from _unreadable(dataset, read)
    yield from _long(dataset, read)
    yield from _alike(dataset, read)


def summary(read: Read, domain: str) -> dict[str, str | int | float | None]:
    """Mean and largest number of characters of a domain's texts."""
    lengths = [length for (name, _), length in read.lengths.items() if name == domain]
    return {
        "characters": round(float(np.mean(lengths)), 1) if lengths else None,
        "longest": max(lengths, default=None),
    }


def _unreadable(dataset: Dataset, read: Read) -> Iterable[Finding]:
    kinds: dict[str, list[str]] = defaultdict(list)
    for (name, row), reason in sorted(read.unreadable.items()):
        kind = "empty text" if reason == "empty" else "unreadable"
        kinds[kind].append(f"{name}: {dataset.domains[name].title(row)} ({reason})")
    for kind, texts in kinds.items():
        yield Finding(kind, "fault", f"{counted(len(texts), 'text')} cannot be read", tuple(texts))


def _long(dataset: Dataset, read: Read) -> Iterable[Finding]:
    most = CHARACTERS * LONG
    texts = [
        f"{name}: {dataset.domains[name].title(row)} ({length:,} characters or more)"
        for (name, row), length in sorted(read.lengths.items())
        if length > most
    ]
    if texts:
        message = (
            f"{len(texts)} of more than {most:,} characters: what is behind a suite's length is not read"
        )
        yield Finding("long texts", "note", message, tuple(texts))


def _alike(dataset: Dataset, read: Read) -> Iterable[Finding]:
    where: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for place, plain in read.plain.items():
        where[plain].append(place)
    split = {name: splits(dataset, domain) for name, domain in dataset.domains.items()}
    kinds: dict[str, list[str]] = defaultdict(list)
    for places in where.values():
        if len({dataset.domains[name].digests[row] for name, row in places}) < 2:
            continue
        of = {int(split[name][row]) for name, row in places}
        kind = "near duplicates in two splits" if len(of) > 1 else "near duplicates"
        names = (
            f"{name}: {dataset.domains[name].title(row)} ({SPLITS[split[name][row]]})" for name, row in places
        )
        kinds[kind].append(" ≈ ".join(names))
    for kind, texts in kinds.items():
        apart = kind.endswith("splits")
        advice = "; a `group` column keeps them together" if apart else ""
        message = f"{counted(len(texts), 'text')} with the same words as others{advice}"
        yield Finding(kind, "fault" if apart else "note", message, tuple(texts))
