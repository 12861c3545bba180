"""Network for sequences of letters, of our own: residual convolutions over embedded letters.

He et al. 2016, https://arxiv.org/abs/1512.03385 (residual blocks, here in one dimension).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.networks.backbones.base import Backbone
from bench.networks.backbones.untrained import UntrainedFamily

VOCABULARY = 28
"""Padding, 26 letters and all else."""
CHANNELS = 64
BLOCKS = 3
KERNEL = 5
"""Letters that a convolution sees."""


def present(x: Tensor) -> Tensor:
    """Places that are no padding, where all is zero: (B, L, C) -> (B, L, 1) of ones and zeros."""
    return (x != 0).any(-1, keepdim=True).to(x.dtype)


class Block(nn.Module):
    """Residual block: norm, convolution, GELU and a linear layer; padded places stay zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.conv = nn.Conv1d(channels, channels, KERNEL, padding=KERNEL // 2)
        self.act = nn.GELU()
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        there = present(x)
        seen = self.conv((self.norm(x) * there).transpose(1, 2)).transpose(1, 2)
        out: Tensor = x + self.linear(self.act(seen)) * there
        return out


class Pool(nn.Module):
    """Mean over the places that are no padding, normalised: (B, L, C) -> (B, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Features."""
        out: Tensor = self.norm(x.sum(1) / present(x).sum(1).clamp_min(1))
        return out


class Embedding(nn.Module):
    """Vectors of letters and of their places: (B, L) -> (B, L, C), zero where there is padding."""

    def __init__(self, length: int, channels: int) -> None:
        super().__init__()
        self.letters = nn.Embedding(VOCABULARY, channels)
        self.places = nn.Parameter(torch.zeros(length, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Embedded letters."""
        out: Tensor = (self.letters(x) + self.places) * (x != 0)[..., None]
        return out


def peptide_cnn(length: int) -> Backbone:
    """Make a network for sequences (B, length) of numbers of letters, 0 for padding."""
    names = [f"stage{number + 1}" for number in range(BLOCKS)]
    net = nn.Sequential()
    net.add_module("embed", Embedding(length, CHANNELS))
    for name in names:
        net.add_module(name, Block(CHANNELS))
    net.add_module("pool", Pool(CHANNELS))
    return Backbone(net, CHANNELS, names, dict.fromkeys(names, CHANNELS), padded=True, letters=VOCABULARY)


FAMILY = UntrainedFamily({"peptide_cnn": peptide_cnn}, torch.int64)
