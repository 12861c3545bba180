"""Inputs of recordings: waveforms as the network takes them, moved and masked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.core.waveforms import AUDIO_RATE
from bench.engine.training.inputs.base import InputsRequest, onto

LOUDEST = 32_768.0


@dataclass(frozen=True)
class SpecAugment:
    """Masks of time and frequency, on recordings that are moved in time.

    Park et al. 2019, https://arxiv.org/abs/1904.08779, on the waveform instead of its spectrogram, so that
    networks with front ends of their own get the same: a span of time is silent, and of the spectrum a band
    that is even in mel is gone. Each recording has masks of its own.
    """

    moved: float = 0.1
    """Largest shift, as a share of the length."""
    masks: int = 0
    """Masks of time, and as many of frequency."""
    span: float = 0.1
    """Largest share of the time that a mask covers."""
    band: float = 0.15
    """Largest share of the mel scale that a mask covers."""

    def __call__(self, x: Tensor, seed: int) -> Tensor:
        """Other waveforms (B, T); the same for the same seed."""
        random = torch.Generator().manual_seed(seed)
        length, most = x.shape[1], int(self.moved * x.shape[1])
        shift = torch.randint(-most, most + 1, (len(x), 1), generator=random)
        places = torch.arange(length) - shift
        heard = (places >= 0) & (places < length)
        for _ in range(self.masks):
            heard &= ~_between(torch.arange(length), length, self.span, len(x), random)
        x = x.gather(1, onto(places.clamp(0, length - 1), x.device)) * onto(heard, x.device)
        if not self.masks:
            return x
        mel = _mel(torch.fft.rfftfreq(length, 1 / AUDIO_RATE))
        kept = torch.ones(len(x), len(mel), dtype=torch.bool)
        for _ in range(self.masks):
            kept &= ~_between(mel, float(mel[-1]), self.band, len(x), random)
        # A band that is gone sounds on where it was silent around a recording, which some take for padding.
        return torch.fft.irfft(torch.fft.rfft(x) * onto(kept, x.device), length) * _inside(x)


def _inside(x: Tensor) -> Tensor:
    """Places of (B, T) from the first that is not silent to the last."""
    heard = (x != 0).int()
    return (heard.cummax(1).values * heard.flip(1).cummax(1).values.flip(1)).bool()


def _between(places: Tensor, end: float, most: float, count: int, random: torch.Generator) -> Tensor:
    """Which of the places (P,) from 0 to `end` lie within a random span: (count, P)."""
    share, start = torch.rand(2, count, 1, generator=random)
    width = share * most * end
    start = start * (end - width)
    return (places >= start) & (places < start + width)


def _mel(frequency: Tensor) -> Tensor:
    return 2595 * torch.log10(1 + frequency / 700)


AUGMENTATIONS = {"spec-augment": SpecAugment(masks=2), "shift": SpecAugment(), "none": None}
"""Augmentations of recordings by the names that suites have for them."""

STRONG = SpecAugment(masks=3, span=0.15, band=0.25)


@dataclass(frozen=True)
class AudioInputs:
    """Waveforms out of the decode cache: int16 (N, T) -> float32 (B, T) from -1 to 1."""

    samples: np.ndarray
    device: torch.device
    augment: SpecAugment | None = None

    lengths = None

    @property
    def numbers(self) -> int:
        """Samples of a recording."""
        return int(self.samples.shape[1])

    def __len__(self) -> int:
        """Number of recordings."""
        return len(self.samples)

    def take(self, rows: np.ndarray, augment_seed: int | None = None, strong: bool = False) -> Tensor:
        """Waveforms (B, T)."""
        x = onto(torch.from_numpy(self.samples[rows]), self.device).float() / LOUDEST
        augment = STRONG if strong else self.augment
        return x if augment_seed is None or augment is None else augment(x, augment_seed)


def audio_inputs(request: InputsRequest) -> AudioInputs:
    """Inputs of recordings, which are the same for every network."""
    return AudioInputs(request.decoded, request.device, AUGMENTATIONS[request.augment])
