"""Faults of tables: columns that are missing, constant, or tell the class by themselves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.core.text import counted
from bench.data.dataset import Dataset
from bench.data.doctor.finding import Finding
from bench.data.index import Progress
from bench.data.sources.encoded import encoded_images

MISSING = 0.5
"""Share of missing values from which on a column is named."""
TELLING = 0.999
"""Area under the ROC curve from which on a column tells a class by itself."""

Tables = dict[str, np.ndarray]
"""Rows (N, F) by domain."""


def read_rows(dataset: Dataset, progress: Progress) -> Tables:
    """Read every row of a dataset, as it is stored."""
    tables = {}
    for name, domain in dataset.domains.items():
        rows = [np.empty(0)] * len(domain.places)
        for done, (row, encoded) in enumerate(encoded_images(domain.places), 1):
            rows[row] = np.asarray(encoded, dtype=np.float32)
            progress(f"look at {name}", done, len(domain.places))
        tables[name] = np.stack(rows)
    return tables


def row_faults(dataset: Dataset, tables: Tables) -> Iterator[Finding]:
    """Find columns without values, of one value, and such that tell the class; and equal rows."""
    whole = np.concatenate([*tables.values()])
    labels = np.concatenate([domain.labels for domain in dataset.domains.values()])
    kinds = {
        "columns missing in a domain": [
            f"{name}: column {column + 1}"
            for name, rows in tables.items()
            for column in np.flatnonzero(~np.isfinite(rows).any(axis=0))
        ],
        "constant columns": [f"column {column + 1}" for column in np.flatnonzero(_constant(whole))],
        "columns that tell the class": [
            f"column {column + 1}" for column in range(whole.shape[1]) if tells(whole[:, column], labels)
        ],
    }
    for kind, columns in kinds.items():
        if columns:
            what = counted(len(columns), "column")
            yield Finding(
                kind, "fault", f"{what}, numbered as they are kept, behind one another", tuple(columns)
            )
    missing = (~np.isfinite(whole)).mean(axis=0)
    if often := [f"column {at + 1} ({missing[at]:.0%})" for at in np.flatnonzero(missing >= MISSING)]:
        yield Finding(
            "missing values", "note", f"{counted(len(often), 'column')} by half or more", tuple(often)
        )
    yield from _equal(dataset)


def _constant(rows: np.ndarray) -> np.ndarray:
    """Columns (F,) with one value at most."""
    known = np.isfinite(rows)
    lowest, highest = np.where(known, rows, np.inf).min(axis=0), np.where(known, rows, -np.inf).max(axis=0)
    return np.asarray(lowest >= highest)


def tells(values: np.ndarray, labels: np.ndarray) -> bool:
    """Return True if values (N,) put the items of some class behind or before nearly all others."""
    known = np.isfinite(values)
    values, labels = values[known], labels[known]
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[where] if len(values) else values
    for label in np.unique(labels):
        mine = labels == label
        ones, others = int(mine.sum()), int((~mine).sum())
        if ones and others:
            area = (ranks[mine].sum() - ones * (ones + 1) / 2) / (ones * others)
            if max(area, 1 - area) >= TELLING:
                return True
    return False


def _equal(dataset: Dataset) -> Iterator[Finding]:
    digests = [digest for domain in dataset.domains.values() for digest in domain.digests]
    if again := len(digests) - len(set(digests)):
        message = f"{dataset.kind.counted(again)} like another in every column: taken for different things"
        yield Finding("equal rows", "note", message)


def row_summary(tables: Tables, domain: str) -> dict[str, str | int | float | None]:
    """Columns of a domain, and the percentage of its values that are missing."""
    rows = tables[domain]
    return {"columns": rows.shape[1], "missing, %": round(100 * float((~np.isfinite(rows)).mean()), 1)}
