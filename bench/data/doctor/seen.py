"""Every image opened once: its size, its perceptual hash, or why it cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bench.data.dataset import Dataset
from bench.data.decoders.image import Unreadable, upright
from bench.data.index import Progress
from bench.data.sources.encoded import Encoded, stream
from bench.processes.pool import in_threads


@dataclass
class Seen:
    """What was learnt of the images, by domain and row."""

    sizes: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    """Width and height in the file."""
    hashes: dict[tuple[str, int], int] = field(default_factory=dict)
    """64 bits that are alike where images look alike."""
    unreadable: dict[tuple[str, int], str] = field(default_factory=dict)
    """Why not."""


def open_all(dataset: Dataset, progress: Progress) -> Seen:
    """Open every image of a dataset."""
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
