"""Recordings for tests: words of two tones as two voices say them, as WAV files."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from bench.core.waveforms import AUDIO_RATE

TONES = {"rising": (300, 900), "falling": (900, 300)}
"""Classes, and the frequencies in Hz that they begin and end with."""
VOICES = {"low": 1.0, "high": 1.4}
"""Domains, and what their frequencies are multiplied by."""


def tone(seconds: float, first: float, last: float, rate: int = AUDIO_RATE) -> np.ndarray:
    """A tone from one frequency to another: float64 (N,) from -0.5 to 0.5."""
    time = np.arange(round(seconds * rate)) / rate
    frequency = first + (last - first) * time / max(seconds, 1e-9) / 2
    return 0.5 * np.sin(2 * np.pi * frequency * time)


def write_wav(path: Path, samples: np.ndarray, rate: int = AUDIO_RATE, channels: int = 1) -> Path:
    """Write samples (N,) from -1 to 1 as 16 bits, the same in every channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.round(samples * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(np.repeat(whole, channels).tobytes())
    return path


def two_voices(folder: Path, each: int = 12, rate: int = AUDIO_RATE) -> Path:
    """A folder <domain>/<class>/*.wav: each recording is a little louder and longer than the one before."""
    for voice, factor in VOICES.items():
        for name, (first, last) in TONES.items():
            for number in range(each):
                noise = np.random.default_rng([number, len(name), len(voice)])
                samples = tone(0.2 + 0.005 * number, factor * first, factor * last, rate)
                samples = samples * (0.5 + 0.02 * number) + 0.01 * noise.standard_normal(len(samples))
                write_wav(folder / voice / name / f"{number}.wav", samples, rate)
    return folder
