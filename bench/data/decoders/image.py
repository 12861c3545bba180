"""Decoder of images, from any form to a square uint8 array."""

from __future__ import annotations

import errno
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock
from PIL import Image, ImageOps, UnidentifiedImageError

from bench.core.errors import UserError
from bench.core.files import open_regular
from bench.core.paths import cache_part, writing_to_cache
from bench.data.decoders.base import Decoder, Fit, Unreadable
from bench.data.sources.encoded import MOST_BYTES, OF_THE_FILE, Encoded, cannot_read
from bench.processes.malloc import trim

MOST_PIXELS = 100_000_000
"""Largest image in pixels. Larger ones are refused before decoding: a small file can fill the memory."""

WHOLE = ("WEBP", "AVIF")
"""Formats of which Pillow reads the whole file before it tells the image's size."""

STREAMED = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
"""Other formats that are read. Not PostScript and its kin, for which Pillow starts other programs."""

MOST_WHOLE = 32 * 2**20
"""Largest file in bytes of the formats that are read whole."""

LARGE = 2**28
"""Bytes that decoding an image may take beside others; of images that take more, one is decoded at a time."""

BYTES = 9
"""Most bytes that decoding takes for a pixel: four, and four again while it is turned."""

MORE_BYTES = 28
"""The same for formats that are decoded into buffers of their own."""

BAND = 2**20
"""Pixels of a large image that are converted at a time."""

LONGEST = 2**14
"""Longest side of a strip, around which a white square is put."""

ROOM = 512
"""Images are resampled once from up to this side; much larger ones are averaged down first."""

RANGES = {"F": 255, "I": 65_535}
"""Largest number of a pixel in Pillow's modes of 32 bits; floats of at most 1 are of the range to 1."""

GAP = 1.5
"""Images are averaged over whole pixels as long as they stay this many times larger than asked for, and
then resampled (Pillow's `reducing_gap`): the error is under 1 % of the range, less than bilinear's."""


def decode(encoded: Encoded, size: int, fit: Fit = "pad") -> np.ndarray:
    """Decode an image to uint8 (size, size, 3), RGB: upright, transparency on white, 8 bits, square.

    Raises:
        Unreadable: the image is missing, empty, truncated or too large, or the file is no image.
        UserError: a disk or this process cannot read at the moment.
    """
    try:
        image, _ = upright(encoded, 2 * size)
    except Unreadable as reason:
        name = f" {encoded}" if isinstance(encoded, Path) else ""
        raise Unreadable(f"cannot read image{name}: {reason}", reason.lasting) from None
    with _room_for(4 * max(image.size) ** 2 if fit == "pad" else 0):
        return _squared(image, size, fit)


def _squared(image: Image.Image, size: int, fit: Fit) -> np.ndarray:
    if fit == "squash":
        square = image
    elif fit == "crop":
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side))
    else:
        side = max(image.size)
        square = Image.new("RGB", (side, side), "white")
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=GAP))


def upright(encoded: Encoded, room: int = ROOM) -> tuple[Image.Image, tuple[int, int]]:
    """Open an image as RGB, as a viewer shows it, reduced to what a side of `room` pixels needs.

    Returns the image, and the width and height in the file.

    Raises:
        Unreadable: with the reason.
        UserError: a disk or this process cannot read at the moment.
    """
    if isinstance(encoded, np.ndarray):
        return _reduced_rgb(Image.fromarray(encoded), 1), (encoded.shape[1], encoded.shape[0])
    try:
        with warnings.catch_warnings(), _opened(encoded) as (file, size):
            warnings.simplefilter("ignore")
            formats = STREAMED + WHOLE if size <= MOST_WHOLE else STREAMED
            with Image.open(file, formats=formats) as image:
                if (pixels := image.width * image.height) > MOST_PIXELS:
                    raise Unreadable(
                        f"{image.width} × {image.height} pixels, more than {MOST_PIXELS // 10**6} million"
                    )
                found = image.size
                # The decoder of JPEG skips what a reduced image does not need.
                image.draft(None, (room, room))
                with _room_for(_cost(image, pixels)):
                    out = _reduced(image, room)
                    if out is not image:
                        image.close()
                    return out, found
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise Unreadable(f"more than {MOST_PIXELS // 10**6} million pixels") from None
    except UnidentifiedImageError:
        raise Unreadable(f"no image of a format that is read ({', '.join(STREAMED + WHOLE)})") from None
    except MemoryError:
        raise Unreadable("too little memory", lasting=False) from None
    except OSError as error:
        raise _fault(encoded, error) from None
    except Exception as error:
        # Decoders raise whatever they like on damaged files.
        raise Unreadable(_line(error)) from None


def _fault(encoded: Path | bytes, error: OSError) -> UserError:
    """Tell an error of a decoder, which has no number, from one of the file and one of the system."""
    if error.errno in (None, errno.EINVAL):
        # A decoder's error of too little memory has no number either; one of a damaged offset has this one.
        return Unreadable(_line(error), lasting="memory" not in str(error))
    if error.errno in OF_THE_FILE or error.errno == errno.ENOMEM:
        return Unreadable(error.strerror or _line(error), lasting=False)
    return cannot_read(encoded, error)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


@contextmanager
def _opened(encoded: Path | bytes) -> Iterator[tuple[BinaryIO, int]]:
    """Open an encoded image; gives its content and how long that is."""
    with open_regular(encoded) if isinstance(encoded, Path) else io.BytesIO(encoded) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if not size:
            raise Unreadable("empty")
        if size > MOST_BYTES:
            raise Unreadable(f"{size / 10**6:.0f} million bytes, more than {MOST_BYTES / 10**6:.0f} million")
        yield file, size


def _cost(image: Image.Image, pixels: int) -> int:
    """Bytes that decoding an image takes at most, by its format; `pixels` are those in the file."""
    band = 24 * min(pixels, BAND)
    if image.format in ("JPEG", "MPO"):
        coefficients = 8 * pixels if image.info.get("progressive") else 0
        return band + BYTES * image.width * image.height + coefficients
    return band + pixels * (BYTES if image.format in ("PNG", "BMP", "GIF", "PPM") else MORE_BYTES)


@contextmanager
def _room_for(size: int) -> Iterator[None]:
    """Take so many bytes within the block; where they are many, one at a time of all that share a cache."""
    if size <= LARGE:
        yield
        return
    with writing_to_cache():
        folder = cache_part("decoded")
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "large-image.lock").acquire()
    with lock:
        try:
            yield
        finally:
            # What this thread freed would stay in its hands beside the next one's.
            trim()


def _reduced(image: Image.Image, room: int) -> Image.Image:
    """Convert to upright RGB; large images are reduced to a short side near `room`, strips to a long one."""
    room = max(room, ROOM)
    # In place, and `_rgb` only where it must: copies of whole photographs cost a sixth of the time.
    ImageOps.exif_transpose(image, in_place=True)
    image = _reduced_rgb(image, min(image.size) // room if min(image.size) > 2 * room else 1)
    if max(image.size) > (longest := min(16 * room, LONGEST)):
        # A strip so long that a square around it would not fit into memory.
        image.thumbnail((longest, longest))
    return image


def _reduced_rgb(image: Image.Image, factor: int) -> Image.Image:
    """Convert to RGB and average squares of `factor` pixels, by bands: whole copies would fill the memory."""
    image.load()
    rows = max(1, BAND // (image.width * factor)) * factor
    tops = range(0, image.height, rows)
    scale = 1.0
    if image.mode in RANGES:
        lows, highs = zip(*(_ends(_band(image, top, rows)) for top in tops), strict=True)
        low, high = min(lows), max(highs)
        most = RANGES[image.mode]
        if not 0 <= low <= high <= most:
            raise Unreadable(
                f"numbers from {low:.4g} to {high:.4g}, where 0 to {most} are read: convert them"
            )
        scale = 255.0 if image.mode == "F" and high <= 1 else 1.0
    if len(tops) == 1:
        image = _rgb(image, scale)
        return image.reduce(factor) if factor > 1 else image
    out = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    for top in tops:
        out.paste(_rgb(_band(image, top, rows), scale).reduce(factor), (0, top // factor))
    return out


def _band(image: Image.Image, top: int, rows: int) -> Image.Image:
    return image.crop((0, top, image.width, min(top + rows, image.height)))


def _ends(image: Image.Image) -> tuple[float, float]:
    """Lowest and highest number of an image; 0 counts as one, and what is no number does not."""
    values = np.asarray(image)
    return float(np.nanmin(values, initial=0)), float(np.nanmax(values, initial=0))


def _rgb(image: Image.Image, scale: float = 1.0) -> Image.Image:
    """Convert to RGB: transparency on white, 16 bits over their range, floats times `scale`."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        scaled = values * scale if values.dtype.kind == "f" else values / 257
        image = Image.fromarray(np.nan_to_num(np.clip(np.round(scaled), 0, 255)).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, "white")
        canvas.alpha_composite(rgba)
        image = canvas
    return image if image.mode == "RGB" else image.convert("RGB")


DECODER = Decoder("image", decode, "uint8", (None, None, 3), ("pillow",), show=np.asarray)
