"""What is wrong with a copy of a dataset: faults, each with the images it is about."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from bench.data.dataset import Dataset, Domain, silent
from bench.data.decode import Unreadable, upright
from bench.data.images import Encoded, stream
from bench.data.index import Progress
from bench.data.splits import SPLITS, splits
from bench.executors.pool import in_threads

NEAR = 4
"""Bits of 64 in which the perceptual hashes of near duplicates differ at most."""

IMBALANCE = 10
"""A class this many times larger than another of its domain is a fault."""

SMALL = 16
"""Pixels of the shorter side, below which an image is hardly one."""

LEAST = 3
"""Groups of images that a class needs in a domain: one each to train on, to validate, to test."""

Level = Literal["fault", "note"]


@dataclass(frozen=True)
class Finding:
    """Something found; a `note` is worth knowing and wrong in no way."""

    kind: str
    level: Level
    message: str
    images: tuple[str, ...] = ()


@dataclass
class Seen:
    """What was learnt of the images by opening each once."""

    sizes: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    hashes: dict[tuple[str, int], int] = field(default_factory=dict)
    unreadable: dict[tuple[str, int], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Diagnosis:
    """The findings, and a table of the domains."""

    dataset: str
    origin: str
    domains: list[dict[str, Any]]
    findings: list[Finding]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not any(finding.level == "fault" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "healthy": self.healthy}


def examine(dataset: Dataset, progress: Progress = silent) -> Diagnosis:
    """Look at every image of a dataset."""
    seen = _open_all(dataset, progress)
    findings = [
        *(Finding("counts", "fault", text) for text in dataset.warnings if "the card says" in text),
        *(Finding("folders", "fault", text) for text in dataset.warnings if "no class of the card" in text),
        *_missing(dataset),
        *_unreadable(dataset, seen),
        *_classes(dataset),
        *_copies(dataset),
        *_near(dataset, seen),
        *_small(dataset, seen),
    ]
    return Diagnosis(dataset.card.name, dataset.origin, _table(dataset, seen), findings)


def _open_all(dataset: Dataset, progress: Progress) -> Seen:
    import imagehash

    seen = Seen()
    for name, domain in dataset.domains.items():

        def work(job: tuple[int, Encoded], name: str = name) -> None:
            row, encoded = job
            try:
                image, size = upright(encoded)
            except Unreadable as reason:
                seen.unreadable[name, row] = str(reason)
                return
            seen.sizes[name, row] = size
            bits = np.packbits(imagehash.phash(image).hash.ravel())
            seen.hashes[name, row] = int.from_bytes(bits.tobytes())

        for done, _ in enumerate(in_threads(work, stream(domain.places)), 1):
            progress(f"look at {name}", done, len(domain.places))
    return seen


def _missing(dataset: Dataset) -> Iterable[Finding]:
    for name in dataset.card.domains:
        if name not in dataset.domains:
            yield Finding("domain missing", "fault", f"no images of domain {name}")
    for name, domain in dataset.domains.items():
        counts = np.bincount(domain.labels, minlength=len(dataset.card.classes))
        for label in np.flatnonzero(counts == 0):
            yield Finding("class missing", "fault", f"{name} has no image of {dataset.card.classes[label]}")


def _unreadable(dataset: Dataset, seen: Seen) -> Iterable[Finding]:
    kinds: dict[str, list[str]] = defaultdict(list)
    for (name, row), reason in sorted(seen.unreadable.items()):
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


def _classes(dataset: Dataset) -> Iterable[Finding]:
    """Classes with too few groups of images, and imbalance."""
    for name, domain in dataset.domains.items():
        classes = dataset.card.classes
        groups = {
            label: len(np.unique(domain.groups[domain.labels == label])) for label in range(len(classes))
        }
        few = [f"{classes[label]} ({count})" for label, count in groups.items() if 0 < count < LEAST]
        if few:
            yield Finding(
                "too few images",
                "fault",
                f"{name}: fewer than {LEAST} different images, one each to train on, validate and test",
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


def _copies(dataset: Dataset) -> Iterable[Finding]:
    """The same content more than once: in two classes, domains or published splits, or just twice."""
    where: dict[str, list[tuple[Domain, int]]] = defaultdict(list)
    for domain in dataset.domains.values():
        for row, digest in enumerate(domain.digests):
            where[digest].append((domain, row))
    kinds: dict[str, list[str]] = defaultdict(list)
    for places in where.values():
        if len(places) < 2:
            continue
        labels = {int(domain.labels[row]) for domain, row in places}
        published = {domain.published[row] for domain, row in places} - {""}
        kind = (
            "one image, two classes"
            if len(labels) > 1
            else "copies in two splits"
            if len(published) > 1
            else "copies in two domains"
            if len({domain.name for domain, _ in places}) > 1
            else "copies"
        )
        kinds[kind].append(" = ".join(f"{domain.name}: {domain.title(row)}" for domain, row in places))
    for kind, images in kinds.items():
        harmless = kind == "copies"
        note = "; they are kept in one split" if harmless else ""
        yield Finding(kind, "note" if harmless else "fault", f"{len(images)} images{note}", tuple(images))


def _near(dataset: Dataset, seen: Seen) -> Iterable[Finding]:
    """Images that look the same: across splits they let a test be learnt by heart."""
    split = {name: splits(dataset, domain) for name, domain in dataset.domains.items()}
    kinds: dict[str, list[str]] = defaultdict(list)
    for (a, i), (b, j) in near_pairs(seen.hashes):
        first, second = dataset.domains[a], dataset.domains[b]
        if first.digests[i] == second.digests[j]:
            continue
        apart = split[a][i] != split[b][j]
        kind = "near duplicates in two splits" if apart else "near duplicates"
        text = f"{a}: {first.title(i)} ≈ {b}: {second.title(j)}"
        in_splits = f" ({SPLITS[split[a][i]]}, {SPLITS[split[b][j]]})" if apart else ""
        kinds[kind].append(text + in_splits)
    for kind, images in kinds.items():
        fault = kind.endswith("splits")
        yield Finding(
            kind,
            "fault" if fault else "note",
            f"{len(images)} pairs" + ("; a table with a `group` column keeps them together" if fault else ""),
            tuple(images),
        )


def near_pairs(hashes: dict[tuple[str, int], int], most: int = NEAR) -> list[tuple[tuple[str, int], ...]]:
    """Pairs of images whose 64-bit hashes differ in at most `most` bits.

    Of `most + 1` bands of bits, two such hashes have at least one the same: only those are compared. Hashes
    that very many images share (blank ones) are compared with their neighbours alone.
    """
    bands: dict[tuple[int, int], list[tuple[str, int]]] = defaultdict(list)
    width = 64 // (most + 1)
    for key, value in hashes.items():
        for band in range(most + 1):
            bits = 64 - band * width if band == most else width
            bands[band, (value >> (band * width)) & ((1 << bits) - 1)].append(key)
    pairs = set()
    for keys in bands.values():
        for place, key in enumerate(keys):
            for other in keys[place + 1 : place + 1 + CROWD]:
                if (hashes[key] ^ hashes[other]).bit_count() <= most:
                    pairs.add((key, other) if key < other else (other, key))
    return sorted(pairs)


CROWD = 2000
"""Comparisons of one hash within a band."""


def _small(dataset: Dataset, seen: Seen) -> Iterable[Finding]:
    small = [
        f"{name}: {dataset.domains[name].title(row)} ({width} × {height})"
        for (name, row), (width, height) in sorted(seen.sizes.items())
        if min(width, height) < SMALL
    ]
    if small:
        yield Finding("tiny images", "note", f"{len(small)} with a side under {SMALL} px", tuple(small))


def _table(dataset: Dataset, seen: Seen) -> list[dict[str, Any]]:
    rows = []
    for name, domain in dataset.domains.items():
        sizes = [size for (where, _), size in seen.sizes.items() if where == name]
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
