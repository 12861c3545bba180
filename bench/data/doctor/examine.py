"""Examination of a copy of a dataset by all checks, each finding with the images it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from bench.data.dataset import Dataset, silent
from bench.data.doctor import counts, duplicates, files, recordings, texts
from bench.data.doctor.finding import Finding
from bench.data.doctor.rows import read_rows, row_faults, row_summary
from bench.data.doctor.scan import scan_images
from bench.data.doctor.sequences import (
    read_sequences,
    sequence_faults,
    sequence_summary,
    unreadable_sequences,
)
from bench.data.index import Progress

DomainSummary = dict[str, str | int | float | None]
"""Counts of items and classes of a domain, and their mean size."""


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
    looked = LOOKS[dataset.card.modality](dataset, progress)
    findings = [
        *counts.card_mismatches(dataset),
        *counts.missing(dataset),
        *looked.before,
        *counts.class_balance(dataset),
        *(duplicates.exact(dataset) if looked.copies else []),
        *looked.after,
    ]
    return Diagnosis(dataset.card.name, dataset.origin, _summaries(dataset, looked), findings)


@dataclass(frozen=True)
class Looked:
    """Findings about single items, before and behind those about counts, and what is told of a domain."""

    before: list[Finding]
    after: list[Finding]
    summary: Callable[[str], DomainSummary]
    copies: bool = True
    """Whether equal items are copies of one."""


def _rows(dataset: Dataset, progress: Progress) -> Looked:
    read = read_rows(dataset, progress)
    return Looked(list(row_faults(dataset, read)), [], partial(row_summary, read), copies=False)


def _sequences(dataset: Dataset, progress: Progress) -> Looked:
    read = read_sequences(dataset, progress)
    before, after = list(unreadable_sequences(dataset, read)), list(sequence_faults(dataset, read))
    return Looked(before, after, partial(sequence_summary, read))


def _images(dataset: Dataset, progress: Progress) -> Looked:
    scan = scan_images(dataset, progress)

    def summary(name: str) -> DomainSummary:
        sizes = [size for (where, _), size in scan.sizes.items() if where == name]
        return {
            side: round(float(np.mean(lengths)), 1) if sizes else None
            for side, lengths in (("width", [w for w, _ in sizes]), ("height", [h for _, h in sizes]))
        }

    before = list(files.unreadable(dataset, scan.unreadable))
    return Looked(before, [*duplicates.near(dataset, scan), *files.small(dataset, scan)], summary)


def _texts(dataset: Dataset, progress: Progress) -> Looked:
    read = texts.read_texts(dataset, progress)
    return Looked([], list(texts.faults(dataset, read)), partial(texts.summary, read))


def _recordings(dataset: Dataset, progress: Progress) -> Looked:
    heard = recordings.listen(dataset, progress)
    bad = {where: each.unreadable for where, each in heard.items() if each.unreadable}
    after = list(recordings.faults(dataset, heard))
    return Looked(list(files.unreadable(dataset, bad)), after, partial(recordings.summary, heard))


LOOKS: dict[str, Callable[[Dataset, Progress], Looked]] = {
    "image": _images,
    "text": _texts,
    "audio": _recordings,
    "table": _rows,
    "sequence": _sequences,
}
"""Looks at the items of a dataset, by modality."""


def _summaries(dataset: Dataset, looked: Looked) -> list[DomainSummary]:
    rows: list[DomainSummary] = []
    for name, domain in dataset.domains.items():
        counts = list(Counter(domain.labels.tolist()).values())
        rows.append(
            {
                "domain": name,
                dataset.kind.items: len(domain.places),
                "expected": dataset.card.expected_images(name),
                "classes": len(counts),
                "smallest": min(counts, default=0),
                "largest": max(counts, default=0),
                **looked.summary(name),
            }
        )
    return rows
