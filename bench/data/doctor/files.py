"""Faults of single images: unreadable ones, tiny ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from bench.data.dataset import Dataset
from bench.data.doctor.finding import Finding
from bench.data.doctor.scan import Scan

SMALL = 16
"""Smallest side in pixels of an image of use."""


def unreadable(dataset: Dataset, reasons: Mapping[tuple[str, int], str]) -> Iterable[Finding]:
    """Find items that cannot be read, by reason."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for (name, row), reason in sorted(reasons.items()):
        kind = "unreadable"
        if reason == "empty":
            kind = "empty file"
        elif "truncated" in reason or "premature" in reason.lower():
            kind = "truncated"
        elif "million" in reason:
            kind = "too large"
        elif "No such file" in reason:
            kind = "file missing"
        kinds[kind].append(f"{name}: {dataset.domains[name].title(row)} ({reason})")
    for kind, images in kinds.items():
        yield Finding(kind, "fault", f"{dataset.kind.counted(len(images))} cannot be read", tuple(images))


def small(dataset: Dataset, scan: Scan) -> Iterable[Finding]:
    """Find tiny images."""
    images = [
        f"{name}: {dataset.domains[name].title(row)} ({width} × {height})"
        for (name, row), (width, height) in sorted(scan.sizes.items())
        if min(width, height) < SMALL
    ]
    if images:
        yield Finding("tiny images", "note", f"{len(images)} with a side under {SMALL} px", tuple(images))
