"""Decoders: a file per modality, from stored bytes to arrays of one shape. No torch."""

from __future__ import annotations

from bench.data.decoders import image, text

DECODERS = {decoder.modality: decoder for decoder in (image.DECODER, text.DECODER)}
"""Decoders by modality."""
