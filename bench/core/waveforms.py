"""Waveforms: the sampling rate that recordings are brought to, and their samples as whole numbers."""

from __future__ import annotations

import math

import numpy as np

AUDIO_RATE = 16_000
"""Samples a second of decoded recordings."""
PER_MILLISECOND = AUDIO_RATE // 1000
FULL_SCALE = 32_767
"""Largest sample of a recording of 16 bits."""


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Resample (N,) to 16 kHz by its Fourier series, which keeps what both rates can hold.

    Silence is put behind it, up to a whole number of samples at both rates.
    """
    if rate == AUDIO_RATE:
        return samples
    step = rate // math.gcd(rate, AUDIO_RATE)
    inputs = -(-len(samples) // step) * step
    outputs = inputs * AUDIO_RATE // rate
    spectrum = np.fft.rfft(samples.astype(np.float64), inputs)
    return np.fft.irfft(spectrum[: outputs // 2 + 1], outputs) * (outputs / inputs)


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Round samples (N,) from -1 to 1 to int16; what is louder is clipped."""
    return np.round(samples.clip(-1, 1) * FULL_SCALE).astype(np.int16)
