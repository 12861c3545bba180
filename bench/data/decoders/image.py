"""Decoder of images, from any form to a square uint8 array."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from bench.core.errors import UserError
from bench.data.sources.encoded import Encoded

Fit = Literal["pad", "crop", "squash"]
"""Way to make an image square: white margins, a centre crop, or stretching."""

MOST_PIXELS = 100_000_000
"""Largest image in pixels. Larger ones are refused before decoding: a small file can fill the memory."""

ROOM = 512
"""Images are resampled once from up to this side; much larger ones are averaged down first."""

GAP = 1.5
"""Images are averaged over whole pixels as long as they stay this many times larger than asked for, and
then resampled (Pillow's `reducing_gap`): the error is under 1 % of the range, less than bilinear's."""


class Unreadable(UserError):
    """Image that cannot be decoded; the message says why, without naming it."""


def decode(encoded: Encoded, size: int, fit: Fit = "pad") -> np.ndarray:
    """Decode an image to uint8 (size, size, 3), RGB: upright, transparency on white, 8 bits, square.

    Raises:
        UserError: the image is missing, empty, truncated or too large, or the file is no image.
    """
    try:
        image, _ = upright(encoded, 2 * size)
    except Unreadable as reason:
        name = f" {encoded}" if isinstance(encoded, Path) else ""
        raise UserError(f"cannot read image{name}: {reason}") from None
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
    """
    if isinstance(encoded, np.ndarray):
        return _rgb(Image.fromarray(encoded)), (encoded.shape[1], encoded.shape[0])
    if not isinstance(encoded, Path) and not encoded:
        raise Unreadable("empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(encoded if isinstance(encoded, Path) else io.BytesIO(encoded)) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise Unreadable(
                        f"{image.width} × {image.height} pixels, more than {MOST_PIXELS // 10**6} million"
                    )
                size = image.size
                return _reduced(image, room), size
    except Unreadable:
        raise
    except Image.DecompressionBombError:
        raise Unreadable(f"more than {MOST_PIXELS // 10**6} million pixels") from None
    except Exception as error:
        # Decoders raise whatever they like on damaged files.
        if isinstance(encoded, Path) and encoded.is_file() and not encoded.stat().st_size:
            raise Unreadable("empty") from None
        raise Unreadable(" ".join(str(error).split())[:120] or type(error).__name__) from None


def _reduced(image: Image.Image, room: int) -> Image.Image:
    """Convert to upright RGB; large images are reduced to a short side near `room`, strips to a long one."""
    # The decoder of JPEG skips what a reduced image does not need.
    image.draft(None, (room, room))
    room = max(room, ROOM)
    # In place, and `_rgb` only where it must: copies of whole photographs cost a sixth of the time.
    ImageOps.exif_transpose(image, in_place=True)
    image = _rgb(image)
    if min(image.size) > 2 * room:
        image = image.reduce(min(image.size) // room)
    if max(image.size) > 16 * room:
        # A strip so long that a square around it would not fit into memory.
        image.thumbnail((16 * room, 16 * room))
    return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, "white")
        canvas.alpha_composite(rgba)
        image = canvas
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Scale to 8 bits: 16-bit integers over their range, floats over [0, 1] or, if beyond, over [0, 255]."""
    if values.dtype.kind == "f":
        scaled = values * (255 if np.nanmax(values, initial=0) <= 1 else 1)
    else:
        scaled = values / 257
    return np.nan_to_num(np.clip(np.round(scaled), 0, 255)).astype(np.uint8)
