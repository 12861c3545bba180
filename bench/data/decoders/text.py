"""Decoder of texts: from UTF-8 to code points, cut to one length and filled with zeros."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np

from bench.core.files import read_bounded
from bench.data.decoders.base import Decoder, Fit, Unreadable
from bench.data.sources.encoded import OF_THE_FILE, Encoded, cannot_read

CHARACTERS = 8
"""Characters that are kept for each token that a network reads: English has about five."""

MOST_BYTES = 2**24
"""Largest file of a text in bytes."""


def decode(encoded: Encoded, size: int, fit: Fit = "pad") -> np.ndarray:
    """Decode a text to int32 (`CHARACTERS` * size,): its first code points, zeros behind them.

    The network's own words come later, and from its own vocabulary.

    Raises:
        Unreadable: the text is missing, empty, too large, or not UTF-8.
        UserError: a disk or this process cannot read at the moment.
    """
    content = _read(encoded) if isinstance(encoded, Path) else bytes(encoded)
    try:
        text = content.decode("utf-8-sig").replace("\0", " ").strip()
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8") from None
    if not text:
        raise Unreadable("empty")
    points = np.frombuffer(text[: CHARACTERS * size].encode("utf-32-le", "replace"), dtype="<i4")
    out = np.zeros(CHARACTERS * size, dtype=np.int32)
    out[: len(points)] = points
    return out


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path, MOST_BYTES)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise Unreadable(str(error.strerror)) from None
        if error.errno in OF_THE_FILE:
            raise Unreadable(error.strerror or str(error), lasting=False) from None
        raise cannot_read(path, error) from None


def as_text(points: np.ndarray) -> str:
    """Text of code points (L,), as `decode` made them."""
    return "".join(map(chr, points[points > 0]))


DECODER = Decoder("text", decode, "int32", (None,), scale=CHARACTERS, show=as_text)
