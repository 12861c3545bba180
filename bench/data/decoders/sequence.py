"""Decoder of sequences of letters, as peptides and DNA, to numbers."""

from __future__ import annotations

import numpy as np

from bench.data.decoders.base import Decoder, Fit, Unreadable
from bench.data.sources.encoded import Encoded

LETTERS = 26
OTHER = LETTERS + 1
"""Number of what is no letter, as a gap."""


def decode(encoded: Encoded, size: int, fit: Fit = "pad") -> np.ndarray:
    """Decode the first `size` letters to int32 (size,): A to Z as 1 to 26 whatever their case, padding 0.

    Raises:
        Unreadable: it is no sequence, or an empty one.
    """
    if isinstance(encoded, bytes) and encoded.isascii():
        encoded = np.frombuffer(encoded, dtype=np.uint8)
    if not isinstance(encoded, np.ndarray) or encoded.ndim != 1 or encoded.dtype != np.uint8:
        raise Unreadable("no sequence of letters")
    letters = encoded[encoded != 0]
    if not len(letters):
        raise Unreadable("empty")
    # ASCII's small letters are 32 behind the capitals.
    capitals = np.where(letters >= ord("a"), letters - 32, letters).astype(np.int32) - ord("A") + 1
    numbers = np.where((capitals >= 1) & (capitals <= LETTERS), capitals, OTHER)[:size]
    return np.pad(numbers, (0, size - len(numbers))).astype(np.int32)


def as_letters(numbers: np.ndarray) -> str:
    """Text of a sequence of numbers (L,), as `decode` made them: capitals, `-` for what is no letter."""
    return "".join("-" if number == OTHER else chr(ord("A") - 1 + number) for number in numbers[numbers > 0])


DECODER = Decoder("sequence", decode, "int32", (None,), show=as_letters)
