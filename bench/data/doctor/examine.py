"""Examination of a copy of a dataset by all checks, each finding with the images it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from bench.data.dataset import Dataset, silent
from bench.data.doctor import counts, duplicates, files, recordings
from bench.data.doctor.finding import Finding, Look
from bench.data.doctor.scan import Scan, scan_images
from bench.data.index import Progress

DomainSummary = dict[str, str | int | float | None]
"""Counts of items and classes of a domain, and what a look at its items found on average."""


@dataclass(frozen=True)
class Diagnosis:
    """Diagnosis of a copy: its findings, and a summary of each domain."""

    dataset: str
    origin: str
    domains: list[DomainSummary]
    findings: list[Finding]

    @property
    def healthy(self) -> bool:
        """Return True if there is no fault."""
        return not any(finding.level == "fault" for finding in self.findings)

    def as_json(self) -> dict[str, object]:
        """Convert to plain data for JSON."""
        return {**asdict(self), "healthy": self.healthy}


def examine(dataset: Dataset, progress: Progress = silent) -> Diagnosis:
    """Look at every item of a dataset and run all checks; not of domains that are others corrupted."""
    dataset = dataset.clean
    look = LOOKS[dataset.card.modality](dataset, progress)
    findings = [
        *counts.card_mismatches(dataset),
        *counts.missing(dataset),
        *look.unreadable,
        *counts.class_balance(dataset),
        *duplicates.exact(dataset),
        *look.others,
    ]
    return Diagnosis(dataset.card.name, dataset.origin, _summaries(dataset, look), findings)


def _look_at_images(dataset: Dataset, progress: Progress) -> Look:
    """Look at every image."""
    scan = scan_images(dataset, progress)
    return Look(
        unreadable=[*files.unreadable(dataset, scan.unreadable)],
        others=[*duplicates.near(dataset, scan), *files.small(dataset, scan)],
        summaries={name: _mean_size(scan, name) for name in dataset.domains},
    )


def _mean_size(scan: Scan, name: str) -> dict[str, float | None]:
    """Mean width and height of a domain's images in pixels."""
    sizes = [size for (where, _), size in scan.sizes.items() if where == name]
    return {
        side: round(float(np.mean([size[axis] for size in sizes])), 1) if sizes else None
        for axis, side in enumerate(("width", "height"))
    }


LOOKS: dict[str, Callable[[Dataset, Progress], Look]] = {"image": _look_at_images, "audio": recordings.look}
"""Looks at items by modality."""


def _summaries(dataset: Dataset, look: Look) -> list[DomainSummary]:
    rows: list[DomainSummary] = []
    for name, domain in dataset.domains.items():
        counts = list(Counter(domain.labels.tolist()).values())
        rows.append(
            {
                "domain": name,
                "images": len(domain.places),
                "expected": dataset.card.expected_images(name),
                "classes": len(counts),
                "smallest": min(counts, default=0),
                "largest": max(counts, default=0),
                **look.summaries[name],
            }
        )
    return rows
