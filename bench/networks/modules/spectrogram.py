"""Log-mel spectrogram of waveforms: a fixed layer, through which gradients flow."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.core.waveforms import AUDIO_RATE

HOP, WINDOW, POINTS = 160, 400, 512
"""Samples from frame to frame, in a frame, and points of its Fourier transform: 10, 25 and 32 ms."""


def power_spectrum(x: Tensor, around: int = 0) -> Tensor:
    """Power of waveforms by frequency: (B, T) -> (B, 257, frames), with silence put around them.

    Frames of 25 ms every 10 ms, under a Hann window.
    """
    window = torch.hann_window(WINDOW, device=x.device)
    x = F.pad(x.float(), (around, around))
    frames = torch.stft(x, POINTS, HOP, WINDOW, window, center=False, return_complex=True)
    return torch.view_as_real(frames).square().sum(-1)


class LogMel(nn.Module):
    """Log-mel spectrogram of waveforms at 16 kHz: (B, T) -> (B, 1, `bands`, T // 160) from 0 to 1.

    Power in decibels below a recording's own loudest place, 80 of them as 0 to 1: how loud it was recorded
    makes no difference. Triangular filters from 60 to 7,800 Hz.
    """

    RANGE = 80.0

    def __init__(self, bands: int = 64) -> None:
        super().__init__()
        self.register_buffer("filters", mel_filters(bands, 60.0, 7800.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Spectrograms, frequencies from low to high along the third axis."""
        with torch.autocast(x.device.type, enabled=False):
            # As many frames as hops, the first and the last half outside.
            power = self.get_buffer("filters") @ power_spectrum(x, (POINTS - HOP) // 2)
            level = 10 * power.clamp_min(1e-10).log10()
            loudest = level.amax((1, 2), keepdim=True)
            return ((level - loudest) / self.RANGE + 1).clamp_min(0).unsqueeze(1)


def mel_filters(bands: int, lowest: float, highest: float) -> Tensor:
    """Triangles over the frequencies of a spectrum, between two in Hz, even in mel: (bands, 257).

    A mel is as O'Shaughnessy 1987 has it: 2595 log10(1 + f / 700).
    """
    ends = 2595 * torch.log10(1 + torch.tensor([lowest, highest], dtype=torch.float64) / 700)
    steps = torch.linspace(0, 1, bands + 2, dtype=torch.float64)
    corners = 700 * (10 ** ((ends[0] + (ends[1] - ends[0]) * steps) / 2595) - 1)
    frequency = torch.linspace(0, AUDIO_RATE / 2, POINTS // 2 + 1, dtype=torch.float64)
    left, middle, right = (corners[n : n + bands, None] for n in range(3))
    rising, falling = (frequency - left) / (middle - left), (right - frequency) / (right - middle)
    return torch.minimum(rising, falling).clamp_min(0).float()


class OnSpectrograms(nn.Module):
    """Network for images, on log-mel spectrograms: waveforms (B, T) -> features (B, D).

    An image of three equal channels, normalised as those that the network was trained with.
    """

    def __init__(self, net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.log_mel = LogMel()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Features of the network."""
        out: Tensor = self.net((self.log_mel(x) - self.get_buffer("mean")) / self.get_buffer("std"))
        return out


class AudioCnn(nn.Module):
    """Small convolutional network on log-mel spectrograms: waveforms (B, T) -> features (B, 64).

    Four blocks of two 3 × 3 convolutions with batch norm, pooled by 2 in between; mean and maximum of what
    is left, as in the networks of Kong et al. 2020 (https://arxiv.org/abs/1912.10211), an eighth as wide.
    """

    WIDTHS = (8, 16, 32, 64)

    def __init__(self) -> None:
        super().__init__()
        self.log_mel = LogMel()
        self.norm = nn.BatchNorm2d(1)
        inputs = (1, *self.WIDTHS)
        self.blocks = nn.Sequential(*(_block(a, b) for a, b in zip(inputs, self.WIDTHS, strict=False)))

    def forward(self, x: Tensor) -> Tensor:
        """Features: the sum of mean and maximum over time of the mean over frequencies."""
        over_time = self.blocks(self.norm(self.log_mel(x))).mean(2)
        out: Tensor = over_time.mean(2) + over_time.amax(2)
        return out


def _block(channels: int, filters: int) -> nn.Sequential:
    first, second = (nn.Conv2d(n, filters, 3, padding=1, bias=False) for n in (channels, filters))
    return nn.Sequential(
        *(first, nn.BatchNorm2d(filters), nn.ReLU()),
        *(second, nn.BatchNorm2d(filters), nn.ReLU()),
        nn.AvgPool2d(2),
    )
