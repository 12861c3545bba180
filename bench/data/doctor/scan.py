"""Scan of every image of a dataset: its size, its perceptual hash, or why it cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bench.data.dataset import Dataset
from bench.data.decoders.image import Unreadable, upright
from bench.data.index import Progress
from bench.data.sources.encoded import Encoded, encoded_images
from bench.processes.pool import in_threads


@dataclass
class Scan:
    """Properties of the images by (domain, row)."""

    sizes: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    """Width and height in the file."""
    hashes: dict[tuple[str, int], int] = field(default_factory=dict)
    """Perceptual hashes, 64 bits that are similar where images look similar."""
    unreadable: dict[tuple[str, int], str] = field(default_factory=dict)
    """Reasons why images cannot be read."""


def scan_images(dataset: Dataset, progress: Progress) -> Scan:
    """Open every image of a dataset."""
    import imagehash

    scan = Scan()
    for name, domain in dataset.domains.items():

        def work(job: tuple[int, Encoded], name: str = name) -> None:
            row, encoded = job
            try:
                image, size = upright(encoded)
            except Unreadable as reason:
                scan.unreadable[name, row] = str(reason)
                return
            scan.sizes[name, row] = size
            bits = np.packbits(imagehash.phash(image).hash.ravel())
            scan.hashes[name, row] = int.from_bytes(bits.tobytes())

        for done, _ in enumerate(in_threads(work, encoded_images(domain.places)), 1):
            progress(f"look at {name}", done, len(domain.places))
    return scan
