"""Scan of every image of a dataset: its size, its perceptual hash, or why it cannot be read.

`python -m bench.data.doctor.scan` is a process that opens images, which a damaged one may crash or stall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from bench.data.dataset import Dataset
from bench.data.decoders.base import Unreadable
from bench.data.decoders.image import upright
from bench.data.decoding import STOPPED, ImagesRequest, numbered, pieces
from bench.data.index import Progress
from bench.data.sources.encoded import Encoded, Place
from bench.processes.expendable import ItemServer, Lost, in_expendable_processes
from bench.processes.protocol import Message, Text
from bench.processes.server import serve


@dataclass
class Scan:
    """Properties of the images by (domain, row)."""

    sizes: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    """Width and height in the file."""
    hashes: dict[tuple[str, int], int] = field(default_factory=dict)
    """Perceptual hashes, 64 bits that are similar where images look similar."""
    unreadable: dict[tuple[str, int], str] = field(default_factory=dict)
    """Reasons why images cannot be read."""


class Seen(Message):
    """What was seen of an image; where it cannot be read, only why."""

    size: tuple[int, int] = (0, 0)
    perceptual_hash: int = 0
    unreadable: Text = ""


class Scanner(ItemServer):
    """Opens images."""

    def load(self) -> None:
        """Import what hashes images."""
        import imagehash  # noqa: F401

    def results(self, request: str) -> Iterator[tuple[int, Callable[[], str]]]:
        """Images of a request; the result of each is a `Seen`."""
        for number, encoded in ImagesRequest.model_validate_json(request).read():
            yield number, partial(_look, encoded)


def _look(encoded: Encoded) -> str:
    import imagehash

    try:
        image, size = upright(encoded)
    except Unreadable as reason:
        return Seen(unreadable=str(reason)).model_dump_json()
    bits = np.packbits(imagehash.phash(image).hash.ravel())
    return Seen(size=size, perceptual_hash=int.from_bytes(bits.tobytes())).model_dump_json()


def scan_images(dataset: Dataset, progress: Progress) -> Scan:
    """Open every image of a dataset."""
    scan = Scan()
    for name, domain in dataset.domains.items():

        def request(rows: Sequence[int], places: tuple[Place, ...] = domain.places) -> ImagesRequest:
            return ImagesRequest(images=numbered(places, rows))

        outcomes = in_expendable_processes("bench.data.doctor.scan", pieces(domain.places), request)
        for done, outcome in enumerate(outcomes, 1):
            if isinstance(outcome, Lost):
                seen = Seen(unreadable=f"{STOPPED}: {outcome.reason}")
            else:
                seen = Seen.model_validate_json(outcome.text)
            if seen.unreadable:
                scan.unreadable[name, outcome.item] = seen.unreadable
            else:
                scan.sizes[name, outcome.item] = seen.size
                scan.hashes[name, outcome.item] = seen.perceptual_hash
            progress(f"look at {name}", done, len(domain.places))
    return scan


if __name__ == "__main__":
    serve(Scanner)
