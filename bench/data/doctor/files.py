"""Single images: unreadable ones, tiny ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from bench.data.dataset import Dataset
from bench.data.doctor.finding import Finding
from bench.data.doctor.scan import Scan

SMALL = 16
"""Pixels of the shorter side, below which an image is hardly one."""


def unreadable(dataset: Dataset, scan: Scan) -> Iterable[Finding]:
    """Images that cannot be read, by what is wrong with them."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for (name, row), reason in sorted(scan.unreadable.items()):
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
        yield Finding(kind, "fault", f"{len(images)} images cannot be read", tuple(images))


def small(dataset: Dataset, scan: Scan) -> Iterable[Finding]:
    """Images that hardly are any."""
    found = [
        f"{name}: {dataset.domains[name].title(row)} ({width} × {height})"
        for (name, row), (width, height) in sorted(scan.sizes.items())
        if min(width, height) < SMALL
    ]
    if found:
        yield Finding("tiny images", "note", f"{len(found)} with a side under {SMALL} px", tuple(found))
