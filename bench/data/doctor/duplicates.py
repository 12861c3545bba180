"""Duplicates: images that are there more than once, or look as if they were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from bench.core.text import counted
from bench.data.dataset import Dataset, Domain
from bench.data.doctor.finding import Finding
from bench.data.doctor.scan import Scan
from bench.data.splits import SPLITS, splits

NEAR = 4
"""Largest number of differing bits, of 64, between the perceptual hashes of near duplicates."""

CROWD = 2000
"""Largest number of comparisons of one hash within a band."""


def exact(dataset: Dataset) -> Iterable[Finding]:
    """Find equal files: in two classes, domains or published splits, or just twice."""
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
            f"one {dataset.kind.item}, two classes"
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
        yield Finding(
            kind, "note" if harmless else "fault", f"{dataset.kind.counted(len(images))}{note}", tuple(images)
        )


def near(dataset: Dataset, scan: Scan) -> Iterable[Finding]:
    """Find images that look the same: across splits they leak test images into training."""
    split = {name: splits(dataset, domain) for name, domain in dataset.domains.items()}
    kinds: dict[str, list[str]] = defaultdict(list)
    for (a, i), (b, j) in near_pairs(scan.hashes):
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
        advice = "; a table with a `group` column keeps them together" if fault else ""
        yield Finding(
            kind,
            "fault" if fault else "note",
            counted(len(images), "pair") + advice,
            tuple(images),
        )


def near_pairs(hashes: dict[tuple[str, int], int], most: int = NEAR) -> list[tuple[tuple[str, int], ...]]:
    """List pairs of images whose 64-bit hashes differ in at most `most` bits.

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
