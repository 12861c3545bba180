"""Recordings for the page: a picture of the spectrum over time, and a small sound to be played."""

from __future__ import annotations

import base64
import io
import wave

import numpy as np

RATE, HEARD = 16_000, 8_000
"""Samples a second of recordings, and of what a page plays."""
SECONDS = 2
"""Longest sound on a page."""
FRAME, HOP = 512, 160
HEIGHT = 96
"""Pixels of a picture; as wide as there are frames, 240 at most."""
WIDEST = 240
RANGE = 80.0
"""Decibels from white to black."""


def spectrum_picture(samples: np.ndarray) -> np.ndarray:
    """Spectrum of a recording, int16 (N,) at 16 kHz, over time: uint8 (96, width, 3), dark where it is loud.

    Frequencies from 0 at the bottom to 6 kHz at the top.
    """
    padded = np.pad(samples[: WIDEST * HOP].astype(np.float64), (0, FRAME))
    starts = np.arange(0, max(len(padded) - FRAME, 1), HOP)
    frames = padded[starts[:, None] + np.arange(FRAME)] * np.hanning(FRAME)
    power = np.abs(np.fft.rfft(frames)[:, : 2 * HEIGHT]).reshape(len(frames), HEIGHT, 2).max(2) ** 2
    level = 10 * np.log10(power + 1e-3)
    grey = 255 * np.clip((level.max() - level) / RANGE, 0, 1)
    return np.repeat(grey.T[::-1, :, None], 3, axis=2).astype(np.uint8)


def sound_uri(samples: np.ndarray) -> str:
    """URI (`data:`) of a WAV file of 8 bits at 8 kHz, as loud as it can be, of two seconds at most."""
    kept = samples[: SECONDS * RATE].astype(np.float64)
    pairs = kept[: len(kept) // 2 * 2].reshape(-1, RATE // HEARD).mean(1)
    scaled = pairs / max(np.abs(pairs).max(initial=0), 1) * 127 + 128
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 1, HEARD, 0, "NONE", ""))
        file.writeframes(np.round(scaled).astype(np.uint8).tobytes())
    return "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
