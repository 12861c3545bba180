"""Counts of images of domains and classes, compared with the card and with what learning needs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bench.core.text import counted
from bench.data.dataset import Dataset
from bench.data.doctor.finding import Finding, Level

IMBALANCE = 10
"""Ratio of the largest to the smallest class of a domain from which on it is a fault."""

LAYOUT: dict[str, Level] = {
    "layout": "note",
    "not read": "fault",
    "left out": "fault",
    "names alike": "fault",
    "many values": "note",
}
"""Warnings of a source about the layout of a copy, by the words that they begin with."""

LEAST = 3
"""Smallest number of groups of a class in a domain: one each for training, validation and test."""


def card_mismatches(dataset: Dataset) -> Iterable[Finding]:
    """Find counts of domains and classes that are not the card's, unknown folders, and what is not read."""
    for text in dataset.warnings:
        if "the card says" in text:
            yield Finding("counts", "fault", text)
        elif "no class of the card" in text:
            yield Finding("folders", "fault", text)
        kind, colon, said = text.partition(": ")
        if colon and kind in LAYOUT:
            yield Finding(kind, LAYOUT[kind], said)
    for name, domain in dataset.domains.items():
        expected = dataset.card.expected_classes(name)
        if expected is None:
            continue
        counts = np.bincount(domain.labels, minlength=len(expected)).tolist()
        wrong = [
            f"{label}: {count} {dataset.kind.items}; the card says {right}"
            for label, count, right in zip(dataset.card.classes, counts, expected, strict=True)
            if count != right
        ]
        if wrong:
            yield Finding(
                "class counts", "fault", f"{name}: {counted(len(wrong), 'class', 'classes')}", tuple(wrong)
            )


def missing(dataset: Dataset) -> Iterable[Finding]:
    """Find domains and classes without images."""
    for name in dataset.card.domains:
        if name not in dataset.domains:
            yield Finding("domain missing", "fault", f"no {dataset.kind.items} of domain {name}")
    for name, domain in dataset.domains.items():
        counts = np.bincount(domain.labels, minlength=len(dataset.card.classes))
        for label in np.flatnonzero(counts == 0):
            yield Finding(
                "class missing",
                "fault",
                f"{name} has no {dataset.kind.item} of {dataset.card.classes[label]}",
            )


def class_balance(dataset: Dataset) -> Iterable[Finding]:
    """Find classes with too few groups of images, and imbalance."""
    for name, domain in dataset.domains.items():
        classes = dataset.card.classes
        groups = {
            label: len(np.unique(domain.groups[domain.labels == label])) for label in range(len(classes))
        }
        few = [f"{classes[label]} ({count})" for label, count in groups.items() if 0 < count < LEAST]
        if few:
            yield Finding(
                f"too few {dataset.kind.items}",
                "fault",
                f"{name}: fewer than {LEAST} different {dataset.kind.items}, "
                "one each to train on, validate and test",
                tuple(few),
            )
        counts = np.bincount(domain.labels, minlength=len(classes))
        if counts.max() >= IMBALANCE * max(1, counts[counts > 0].min()):
            low = int(np.where(counts > 0, counts, counts.max() + 1).argmin())
            yield Finding(
                "class imbalance",
                "fault",
                f"{name}: {counts.max()} of {classes[counts.argmax()]}, {counts[low]} of {classes[low]}",
            )
