"""Decoder of recordings: from WAV, FLAC, Ogg and the like to int16 at one sampling rate, of one length."""

from __future__ import annotations

import errno
import io
import math
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.core.errors import UserError
from bench.core.files import open_regular
from bench.core.waveforms import AUDIO_RATE, PER_MILLISECOND, resample, to_int16
from bench.data.decoders.base import Decoder, Fit, Unreadable
from bench.data.sources.encoded import OF_THE_FILE, Encoded, cannot_read

MOST_BYTES = 2**26
"""Largest file of a recording in bytes."""
MOST_NUMBERS = 2**25
"""Most samples of a recording, all channels together: six minutes of a CD."""
SLOWEST, FASTEST = 1000, 384_000
"""Range of sampling rates that are read."""
MARGIN = 0.02
"""Seconds on each side of what is kept that are resampled with it."""


class Recording(NamedTuple):
    """Recording as it is in its file."""

    samples: np.ndarray
    """float32 (N,) from -1 to 1, the mean over channels."""
    rate: int
    """Samples a second."""


def decode(encoded: Encoded, size: int, fit: Fit = "pad") -> np.ndarray:
    """Decode a recording to int16 (16 * size,): `size` milliseconds at 16 kHz, all channels as one.

    Its middle is kept; silence is put around what is shorter. An array is taken for int16 at 16 kHz.

    Raises:
        Unreadable: the recording is missing, empty, damaged or too large, or the file is none.
        UserError: a disk or this process cannot read at the moment.
    """
    wanted = PER_MILLISECOND * size
    if isinstance(encoded, np.ndarray):
        return _middle(encoded.astype(np.int16, copy=False), wanted)
    try:
        samples, rate = load(encoded)
    except Unreadable as reason:
        name = f" {encoded}" if isinstance(encoded, Path) else ""
        raise Unreadable(f"cannot read recording{name}: {reason}", reason.lasting) from None
    length = round(len(samples) * AUDIO_RATE / rate)
    room = math.ceil(rate * (size / 1000 + 2 * MARGIN))
    if len(samples) > room:
        samples, length = _middle(samples, room), round(room * AUDIO_RATE / rate)
    samples = resample(samples, rate)[:length]
    return _middle(to_int16(samples), wanted)


def load(encoded: Path | bytes) -> Recording:
    """Read a whole recording.

    Raises:
        Unreadable: with the reason.
        UserError: a disk or this process cannot read at the moment.
    """
    content = _content(encoded)
    if not content:
        raise Unreadable("empty")
    try:
        recording = _wav(content) if content[:4] in (b"RIFF", b"RIFX", b"RF64") else _other(content)
    except UserError:
        raise
    except MemoryError:
        raise Unreadable("too little memory", lasting=False) from None
    except Exception as error:
        # Decoders raise whatever they like on damaged files.
        raise Unreadable(_line(error)) from None
    if not len(recording.samples):
        raise Unreadable("no samples")
    if not SLOWEST <= recording.rate <= FASTEST:
        raise Unreadable(f"{recording.rate} samples a second, where {SLOWEST} to {FASTEST} are read")
    if not np.isfinite(recording.samples).all():
        raise Unreadable("samples that are no numbers")
    return recording


def _content(encoded: Path | bytes) -> bytes:
    if isinstance(encoded, bytes):
        return encoded
    try:
        with open_regular(encoded) as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        if error.errno in OF_THE_FILE or error.errno == errno.ENOMEM:
            raise Unreadable(error.strerror or _line(error), lasting=False) from None
        raise cannot_read(encoded, error) from None
    if len(content) > MOST_BYTES:
        raise Unreadable(f"more than {MOST_BYTES / 10**6:.0f} million bytes")
    return content


def _wav(content: bytes) -> Recording:
    from scipy.io import wavfile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # What is cut off is damaged; chunks of notes are not.
        warnings.filterwarnings("error", message="Reached EOF prematurely")
        rate, samples = wavfile.read(io.BytesIO(content))
    return Recording(_mono(samples), int(rate))


def _other(content: bytes) -> Recording:
    try:
        import soundfile
    except (ImportError, OSError):
        raise Unreadable(
            "no WAV file, and others need soundfile (pip install soundfile)", lasting=False
        ) from None
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        _check_length(file.frames * file.channels)
        return Recording(_mono(file.read(dtype="float32")), int(file.samplerate))


def _mono(samples: np.ndarray) -> np.ndarray:
    """Mean over channels of (N[, channels]), as float32 from -1 to 1."""
    _check_length(samples.size)
    kind, values = samples.dtype, samples.astype(np.float32)
    if kind.kind == "u":
        half = 2.0 ** (8 * kind.itemsize - 1)
        values = (values - half) / half
    elif kind.kind == "i":
        values /= 2.0 ** (8 * kind.itemsize - 1)
    return values.mean(axis=1) if values.ndim > 1 else values


def _check_length(numbers: int) -> None:
    if numbers > MOST_NUMBERS:
        raise Unreadable(f"more than {MOST_NUMBERS // 10**6} million samples")


def _middle(samples: np.ndarray, wanted: int) -> np.ndarray:
    """Cut out the middle of (N,), or put zeros around it, so that it is (wanted,)."""
    start = (len(samples) - wanted) // 2
    if start >= 0:
        return samples[start : start + wanted]
    out = np.zeros(wanted, dtype=samples.dtype)
    before = (wanted - len(samples)) // 2
    out[before : before + len(samples)] = samples
    return out


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


DECODER = Decoder(
    *("audio", decode, "int16", (None,), ("scipy", "soundfile")),
    scale=PER_MILLISECOND,
    code=("core/waveforms.py",),
    show=np.asarray,
)
