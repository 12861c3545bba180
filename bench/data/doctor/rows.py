"""Faults of tables: columns that are missing, constant, or tell the class by themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from bench.core.text import counted
from bench.data.dataset import Dataset
from bench.data.doctor.finding import Finding
from bench.data.index import Progress
from bench.data.sources.encoded import encoded_images
from bench.data.splits import SPLITS, splits

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
    numbered = [f"column {number}" for number in range(1, whole.shape[1] + 1)]
    names = dataset.card.columns or numbered
    kinds = {
        "columns missing in a domain": [
            f"{name}: {names[at]}"
            for name, rows in tables.items()
            for at in np.flatnonzero(~np.isfinite(rows).any(axis=0))
        ],
        "constant columns": [names[at] for at in np.flatnonzero(_constant(whole))],
        "columns that tell the class": [name for at, name in enumerate(names) if tells(whole[:, at], labels)],
    }
    order = ", numbered as they are kept, behind one another" if names is numbered else ""
    for kind, columns in kinds.items():
        if columns:
            yield Finding(kind, "fault", counted(len(columns), "column") + order, tuple(columns))
    missing = (~np.isfinite(whole)).mean(axis=0)
    if some := sorted(np.flatnonzero(missing), key=lambda at: -missing[at]):
        often = counted(int((missing >= MISSING).sum()), "column")
        yield Finding(
            "missing values",
            "note",
            f"in {counted(len(some), 'column')}, in {often} half of them or more",
            tuple(f"{names[at]} ({missing[at]:.1%})" for at in some),
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
    where: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, domain in dataset.domains.items():
        for row, digest in enumerate(domain.digests):
            where[digest].append((name, row))
    groups = [places for places in where.values() if len(places) > 1]
    if again := sum(len(places) - 1 for places in groups):
        message = f"{dataset.kind.counted(again)} like another in every column: taken for different things"
        yield Finding("equal rows", "note", message)
    split = {name: splits(dataset, domain) for name, domain in dataset.domains.items()} if groups else {}
    apart = [
        " = ".join(
            f"{name}: {dataset.domains[name].names[row]} ({SPLITS[split[name][row]]})" for name, row in places
        )
        for places in groups
        if len({int(split[name][row]) for name, row in places}) > 1
    ]
    if apart:
        message = (
            f"{len(apart)} of them: if those are one thing, a column of groups keeps it together (--group)"
        )
        yield Finding("equal rows in two splits", "note", message, tuple(apart))


def row_summary(tables: Tables, domain: str) -> dict[str, str | int | float | None]:
    """Columns of a domain, and the percentage of its values that are missing."""
    rows = tables[domain]
    return {"columns": rows.shape[1], "missing, %": round(100 * float((~np.isfinite(rows)).mean()), 1)}
