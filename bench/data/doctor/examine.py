"""Examination of a copy of a dataset by all checks, each finding with the images it is about."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass

import numpy as np

from bench.data.dataset import Dataset, silent
from bench.data.doctor import counts, duplicates, files
from bench.data.doctor.finding import Finding
from bench.data.doctor.scan import Scan, scan_images
from bench.data.index import Progress

DomainSummary = dict[str, str | int | float | None]
"""Counts of images and classes of a domain, and the mean width and height of its images in pixels."""


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
    """Scan every image of a dataset and run all checks; not of domains that are others corrupted."""
    dataset = dataset.clean
    scan = scan_images(dataset, progress)
    findings = [
        *counts.card_mismatches(dataset),
        *counts.missing(dataset),
        *files.unreadable(dataset, scan),
        *counts.class_balance(dataset),
        *duplicates.exact(dataset),
        *duplicates.near(dataset, scan),
        *files.small(dataset, scan),
    ]
    return Diagnosis(dataset.card.name, dataset.origin, _summaries(dataset, scan), findings)


def _summaries(dataset: Dataset, scan: Scan) -> list[DomainSummary]:
    rows: list[DomainSummary] = []
    for name, domain in dataset.domains.items():
        sizes = [size for (where, _), size in scan.sizes.items() if where == name]
        counts = list(Counter(domain.labels.tolist()).values())
        rows.append(
            {
                "domain": name,
                "images": len(domain.places),
                "expected": dataset.card.expected_images(name),
                "classes": len(counts),
                "smallest": min(counts, default=0),
                "largest": max(counts, default=0),
                "width": round(float(np.mean([w for w, _ in sizes])), 1) if sizes else None,
                "height": round(float(np.mean([h for _, h in sizes])), 1) if sizes else None,
            }
        )
    return rows
