"""Faults of sequences: what is no letter; and how long they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.core.text import counted
from bench.data.dataset import Dataset
from bench.data.decoders.sequence import OTHER, decode
from bench.data.doctor.finding import Finding
from bench.data.index import Progress
from bench.data.sources.encoded import encoded_images

LONGEST = 4096

Numbers = dict[str, list[np.ndarray]]
"""Numbers of the letters of each sequence, by domain."""


def read_sequences(dataset: Dataset, progress: Progress) -> Numbers:
    """Read every sequence of a dataset."""
    found: Numbers = {}
    for name, domain in dataset.domains.items():
        found[name] = [np.empty(0)] * len(domain.places)
        for done, (row, encoded) in enumerate(encoded_images(domain.places), 1):
            numbers = decode(encoded, LONGEST)
            found[name][row] = numbers[numbers != 0]
            progress(f"look at {name}", done, len(domain.places))
    return found


def sequence_faults(dataset: Dataset, found: Numbers) -> Iterator[Finding]:
    """Find sequences with something in them that is no letter."""
    odd = [
        f"{name}: {dataset.domains[name].title(row)}"
        for name, sequences in found.items()
        for row, numbers in enumerate(sequences)
        if (numbers == OTHER).any()
    ]
    if odd:
        message = f"{counted(len(odd), 'sequence')} with what is no letter, all of which is read as one"
        yield Finding("no letters", "note", message, tuple(odd))


def sequence_summary(found: Numbers, domain: str) -> dict[str, str | int | float | None]:
    """Mean and largest number of letters of a domain's sequences."""
    lengths = [len(numbers) for numbers in found[domain]]
    return {"letters": round(float(np.mean(lengths)), 1), "longest": max(lengths)}
