"""Decoder of rows of tables: raw numbers, NaN for missing ones. Scaling is the matter of inputs."""

from __future__ import annotations

import numpy as np

from bench.data.decoders.base import Decoder, Fit, Unreadable
from bench.data.sources.encoded import Encoded


def decode(encoded: Encoded, size: int, fit: Fit = "pad") -> np.ndarray:
    """Decode a row to float32 (size,); columns that the table does not have are missing.

    Raises:
        Unreadable: it is no row of numbers, or has more columns.
    """
    if not isinstance(encoded, np.ndarray) or encoded.ndim != 1 or encoded.dtype != np.float32:
        raise Unreadable("no row of a table of numbers")
    if len(encoded) > size:
        raise Unreadable(f"{len(encoded)} columns, more than image_size = {size}")
    row = np.full(size, np.nan, dtype=np.float32)
    row[: len(encoded)] = encoded
    return row


DECODER = Decoder("table", decode, "float32", (None,))
