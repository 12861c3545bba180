"""Decoders: a file per modality, from stored bytes to arrays of one shape. No torch."""

from __future__ import annotations

from bench.data.decoders import image, sequence, table, text

ALL = (image.DECODER, text.DECODER, table.DECODER, sequence.DECODER)
DECODERS = {decoder.modality: decoder for decoder in ALL}
"""Decoders by modality."""
