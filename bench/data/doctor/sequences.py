"""Faults of sequences: empty ones, long ones, and what is no letter."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from bench.core.modalities import MODALITIES
from bench.core.text import counted
from bench.data.dataset import Dataset
from bench.data.decoders.base import Unreadable
from bench.data.decoders.sequence import OTHER, decode
from bench.data.doctor.finding import Finding
from bench.data.index import Progress
from bench.data.sources.encoded import encoded_images

LONGEST = MODALITIES["sequence"].most
"""Most letters that a suite can ask for."""

Numbers = dict[str, list[np.ndarray]]
"""Numbers of the letters of each sequence, by domain; none of what cannot be read."""


def read_sequences(dataset: Dataset, progress: Progress) -> Numbers:
    """Read every sequence of a dataset, of longer ones one letter more than a suite can ask for."""
    found: Numbers = {}
    for name, domain in dataset.domains.items():
        found[name] = [np.empty(0)] * len(domain.places)
        for done, (row, encoded) in enumerate(encoded_images(domain.places), 1):
            try:
                numbers = decode(encoded, LONGEST + 1)
            except Unreadable:
                continue
            found[name][row] = numbers[numbers != 0]
            progress(f"look at {name}", done, len(domain.places))
    return found


def unreadable_sequences(dataset: Dataset, found: Numbers) -> Iterator[Finding]:
    """Find sequences without a letter, which stop a run."""
    if empty := _those(dataset, found, lambda numbers: not len(numbers)):
        message = f"{counted(len(empty), 'sequence')} cannot be read"
        yield Finding("empty sequence", "fault", message, empty)


def sequence_faults(dataset: Dataset, found: Numbers) -> Iterator[Finding]:
    """Find sequences that no suite reads whole, or with something in them that is no letter."""
    if long := _those(dataset, found, lambda numbers: len(numbers) > LONGEST):
        message = f"{len(long)} of more than {LONGEST:,} letters: what is behind is not read"
        yield Finding("long sequences", "note", message, long)
    if odd := _those(dataset, found, lambda numbers: bool((numbers == OTHER).any())):
        message = f"{counted(len(odd), 'sequence')} with what is no letter, all of which is read as one"
        yield Finding("no letters", "note", message, odd)


def sequence_summary(found: Numbers, domain: str) -> dict[str, str | int | float | None]:
    """Mean and largest number of letters of a domain's sequences."""
    lengths = [len(numbers) for numbers in found[domain] if len(numbers)]
    return {
        "letters": round(float(np.mean(lengths)), 1) if lengths else None,
        "longest": max(lengths, default=None),
    }


def _those(dataset: Dataset, found: Numbers, are: Callable[[np.ndarray], bool]) -> tuple[str, ...]:
    return tuple(
        f"{name}: {dataset.domains[name].title(row)}"
        for name, sequences in found.items()
        for row, numbers in enumerate(sequences)
        if are(numbers)
    )
