"""Decoding of many items straight into a shared file, in processes that a damaged one may crash or stall.

`python -m bench.data.decoding` is such a process.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bench.core.errors import UserError
from bench.core.modalities import ModalityName
from bench.core.paths import writing_to_cache
from bench.data.decoders import DECODERS
from bench.data.decoders.base import Fit, Unreadable
from bench.data.sources.encoded import Encoded, Place, encoded_images
from bench.data.sources.encoded import digest as content_digest
from bench.processes.expendable import ItemServer, Lost, in_expendable_processes
from bench.processes.pool import processors
from bench.processes.protocol import Message, Text, path_text, text_path
from bench.processes.server import serve

PIECE = 64
"""Images that a process is asked for at once; of a container, more: row groups are read from their start."""
STOPPED = "decoding stopped"
"""Beginning of the reason why an image that ended its process cannot be read."""


class ImagesRequest(Message):
    """Request to do something with images."""

    images: tuple[tuple[int, str, int | None], ...]
    """Their numbers, and their places, paths by `path_text`."""

    def read(self) -> Iterator[tuple[int, Encoded]]:
        """Read them, as (number, image)."""
        for position, encoded in encoded_images((text_path(path), row) for _, path, row in self.images):
            yield self.images[position][0], encoded


def numbered(places: Sequence[Place], numbers: Sequence[int]) -> tuple[tuple[int, str, int | None], ...]:
    """Some of the images at places, as an `ImagesRequest` names them."""
    return tuple((number, path_text(places[number][0]), places[number][1]) for number in numbers)


class Form(Message):
    """Form that items are decoded to."""

    modality: ModalityName = "image"
    size: int
    fit: Fit = "pad"


class DecodeRequest(ImagesRequest):
    """Request to decode items into a file of arrays, the first of which begins at `offset`."""

    digests: tuple[str, ...]
    """What was listed: decoded items are named by it, so that nothing else may be decoded."""
    form: Form
    out: str
    offset: int


class Fault(Message):
    """Fault of an image that cannot be decoded."""

    reason: Text
    lasting: bool
    """Whether its content is the reason, and will be again."""


class Decoder(ItemServer):
    """Decodes images."""

    def load(self) -> None:
        """Import nothing: this module has imported what is needed."""

    def results(self, request: str) -> Iterator[tuple[int, Callable[[], str]]]:
        """Images of a request; the result of each is its `Fault`, or empty."""
        wanted = DecodeRequest.model_validate_json(request)
        with text_path(wanted.out).open("r+b", buffering=0) as out:
            listed = {
                number: digest for (number, *_), digest in zip(wanted.images, wanted.digests, strict=True)
            }
            for number, encoded in wanted.read():
                yield number, partial(_decode, encoded, number, listed[number], wanted, out)


def _decode(encoded: Encoded, row: int, listed: str, wanted: DecodeRequest, out: FileIO) -> str:
    if content_digest(encoded) != listed:
        place = next(path for number, path, _ in wanted.images if number == row)
        raise UserError(
            f"'{text_path(place)}' is another item than was listed: run the same command again. If this "
            "stays, it was changed without a change of its size and date: python -m bench cache clear index"
        )
    try:
        form = wanted.form
        content = DECODERS[form.modality].decode(encoded, form.size, form.fit).tobytes()
    except Unreadable as error:
        reason = str(error).rpartition(": ")[2] or "unreadable"
        return Fault(reason=reason, lasting=error.lasting).model_dump_json()
    with writing_to_cache():
        out.seek(wanted.offset + row * len(content))
        while content:
            content = content[out.write(content) :]
    return ""


def decode_items(
    places: Sequence[Place],
    digests: Sequence[str],
    form: Form,
    out: Path,
    progress: Callable[[int], None],
) -> dict[int, Fault]:
    """Decode items of these contents into a new `.npy` file, (items, ...) of the modality's shape and type.

    Returns the faults of items that cannot be decoded, by their numbers; `progress` is called with how many
    are done.

    Raises:
        OSError: the file cannot be written.
        UserError: likewise, in a process that decodes; none can be started; a disk cannot be read; or an
            item has another content.
    """
    decoder = DECODERS[form.modality]
    shape = (len(places), *decoder.shape(form.size))
    with out.open("wb") as file:
        write_header(file, shape, decoder.dtype)
        offset = file.tell()
        file.truncate(offset + math.prod(shape) * np.dtype(decoder.dtype).itemsize)

    def request(numbers: Sequence[int]) -> DecodeRequest:
        images = numbered(places, numbers)
        listed = tuple(digests[number] for number in numbers)
        return DecodeRequest(images=images, digests=listed, form=form, out=path_text(out), offset=offset)

    bad: dict[int, Fault] = {}
    outcomes = in_expendable_processes("bench.data.decoding", pieces(places), request)
    for done, outcome in enumerate(outcomes, 1):
        if isinstance(outcome, Lost):
            bad[outcome.item] = Fault(reason=f"{STOPPED}: {outcome.reason}", lasting=outcome.lasting)
        elif outcome.text:
            bad[outcome.item] = Fault.model_validate_json(outcome.text)
        progress(done)
    with out.open("r+b") as whole:
        os.fsync(whole.fileno())
    return bad


def write_header(file: BinaryIO, shape: tuple[int, ...], dtype: str) -> None:
    """Write what a `.npy` file of an array begins with."""
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def pieces(places: Sequence[Place]) -> Iterator[list[int]]:
    """Split images into numbers of those that a process reads after each other, a container's in order."""
    inside: dict[Path | None, list[int]] = defaultdict(list)
    for number, (path, row) in enumerate(places):
        inside[None if row is None else path].append(number)
    for container, numbers in inside.items():
        each = PIECE if container is None else max(PIECE, math.ceil(len(numbers) / processors()))
        numbers.sort(key=lambda number: places[number][1] or 0)
        yield from (numbers[start : start + each] for start in range(0, len(numbers), each))


if __name__ == "__main__":
    serve(Decoder)
