"""A dataset at hand: which images there are, and their pixels, decoded once and shared by all processes.

The index (names, labels, groups, content fingerprint) is kept as a small file, keyed by what decides it,
so that a warm start reads no image. Pixels are one memory-mapped uint8 array per domain and size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from bench.data.card import CARDS, Card
from bench.data.decode import decode
from bench.digest import code_digest, combine
from bench.files import write_atomically
from bench.paths import cache_root, writing_to_cache

Progress = Callable[[str, int, int], None]
"""Called with (what, done, total) while long work goes on."""


def silent(what: str, done: int, total: int) -> None:
    """The progress callback that says nothing."""


@dataclass(frozen=True)
class Domain:
    """The images of one domain."""

    name: str
    names: tuple[str, ...] = field(repr=False)
    paths: tuple[Path, ...] = field(repr=False)
    labels: np.ndarray = field(repr=False)
    """int16 (images,): index into the card's classes."""
    groups: np.ndarray = field(repr=False)
    """int32 (images,): index into `group_names`; a number means the same group in every domain."""
    group_names: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Dataset:
    """A card, its domains, and the fingerprint of their content."""

    card: Card
    fingerprint: str
    domains: dict[str, Domain] = field(repr=False)

    def pixels_path(self, domain: str, size: int) -> Path:
        """Where the decoded images of a domain are kept."""
        version = combine(self.fingerprint, code_digest("data/decode.py"))
        return cache_root() / "decoded" / f"{self.card.name}-{version}" / f"{domain}-{size}.npy"

    def pixels(self, domain: str, size: int, progress: Progress = silent) -> np.ndarray:
        """uint8 (images, size, size, 3), memory-mapped, read-only; decoded at the first call."""
        path = self.pixels_path(domain, size)
        if not path.exists():
            with writing_to_cache():
                path.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(f"{path}.lock"):
                    if not path.exists():
                        _decode_all(self.domains[domain], size, path, progress)
        return np.load(path, mmap_mode="r", allow_pickle=False)


def open_dataset(card: Card) -> Dataset:
    """List a dataset's images, from the cached index where one matches the card, the code and the source."""
    key = combine(
        card.source.model_dump_json(),
        card.source.digest(CARDS),
        code_digest("data/sources/*.py", "data/dataset.py"),
    )
    path = cache_root() / "index" / f"{card.name}-{key}.json"
    try:
        return _from_index(card, json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        index = _make_index(card)
        with writing_to_cache():
            write_atomically(path, json.dumps(index).encode())
        return _from_index(card, index)


def _make_index(card: Card) -> dict[str, Any]:
    items = card.source.items(CARDS)
    content = hashlib.sha256()
    for domain, listed in items.items():
        for item in listed:
            digest = hashlib.sha256(item.path.read_bytes()).hexdigest()
            content.update("\0".join((domain, item.name, item.label, item.group, digest)).encode())
    return {
        "fingerprint": content.hexdigest()[:16],
        "domains": {
            domain: [[item.name, item.label, item.group, str(item.path)] for item in listed]
            for domain, listed in items.items()
        },
    }


def _from_index(card: Card, index: dict[str, Any]) -> Dataset:
    classes = {name: number for number, name in enumerate(card.classes)}
    groups = sorted({group for rows in index["domains"].values() for _, _, group, _ in rows})
    group_numbers = {name: number for number, name in enumerate(groups)}
    domains = {}
    for domain, listed in index["domains"].items():
        rows = [row for row in listed if row[1] in classes]
        domains[domain] = Domain(
            name=domain,
            names=tuple(name for name, _, _, _ in rows),
            paths=tuple(Path(path) for _, _, _, path in rows),
            labels=np.array([classes[label] for _, label, _, _ in rows], dtype=np.int16),
            groups=np.array([group_numbers[group] for _, _, group, _ in rows], dtype=np.int32),
            group_names=tuple(groups),
        )
    return Dataset(card, index["fingerprint"], domains)


def _decode_all(domain: Domain, size: int, out: Path, progress: Progress) -> None:
    temporary = out.with_suffix(".partial")
    pixels = np.lib.format.open_memmap(
        temporary, mode="w+", dtype=np.uint8, shape=(len(domain.paths), size, size, 3)
    )
    for row, path in enumerate(domain.paths):
        pixels[row] = decode(path, size)
        progress(f"decode {domain.name}", row + 1, len(domain.paths))
    pixels.flush()
    del pixels
    temporary.replace(out)
