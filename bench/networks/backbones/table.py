"""Networks for rows of tables, of our own: an MLP, and the FT-Transformer.

Gorishniy et al. 2021, "Revisiting Deep Learning Models for Tabular Data". https://arxiv.org/abs/2106.11959
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bench.networks.backbones.base import Backbone
from bench.networks.backbones.untrained import UntrainedFamily

WIDTH = 128
"""Width of the MLP's layers."""
LAYERS = 3
CHANNELS, HEADS = 64, 4
"""Channels of a token of the transformer, and its heads."""


class Layer(nn.Sequential):
    """Layer of an MLP: (B, D) -> (B, WIDTH). Batch norm, as methods of adaptation expect some."""

    def __init__(self, inputs: int) -> None:
        super().__init__(nn.Linear(inputs, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU())


class Tokens(nn.Module):
    """A token for each column, its value times a vector plus another, behind one that is learnt.

    (B, F) -> (B, 1 + F, C): sections 3.3 and E of the paper.
    """

    def __init__(self, columns: int, channels: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(channels)
        self.weight = nn.Parameter(torch.empty(columns, channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(columns, channels).uniform_(-bound, bound))
        self.summary = nn.Parameter(torch.empty(1, channels).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens of rows."""
        columns = x[..., None] * self.weight + self.bias
        return torch.cat([self.summary.expand(len(x), -1, -1), columns], dim=1)


class Attention(nn.Module):
    """Self-attention of several heads, step by step, so that it has second derivatives."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1)
        out: Tensor = self.proj((weights @ v).transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Block of a transformer, normalised before its parts: (B, T, C) -> (B, T, C).

    The first of a network does without a norm before its attention; the layer behind is a ReGLU.
    """

    def __init__(self, channels: int, heads: int, first: bool) -> None:
        super().__init__()
        hidden = channels * 4 // 3
        self.norm1 = nn.Identity() if first else nn.LayerNorm(channels)
        self.attention = Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.inner = nn.Linear(channels, 2 * hidden)
        self.outer = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens."""
        x = x + self.attention(self.norm1(x))
        values, gates = self.inner(self.norm2(x)).chunk(2, dim=-1)
        out: Tensor = x + self.outer(values * gates.relu())
        return out


class Summary(nn.Module):
    """What the first token says: (B, T, C) -> (B, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Features."""
        out: Tensor = self.norm(x[:, 0]).relu()
        return out


def mlp(columns: int) -> Backbone:
    """Make an MLP of three layers for rows (B, columns)."""
    names = [f"stage{number + 1}" for number in range(LAYERS)]
    net = nn.Sequential()
    for number, name in enumerate(names):
        net.add_module(name, Layer(WIDTH if number else columns))
    return Backbone(net, WIDTH, names, dict.fromkeys(names, WIDTH))


def ft_transformer(columns: int) -> Backbone:
    """Make an FT-Transformer of three blocks for rows (B, columns).

    A third as wide as the paper's default, without dropout; a category is a column of its own.
    """
    names = [f"stage{number + 1}" for number in range(LAYERS)]
    net = nn.Sequential()
    net.add_module("tokens", Tokens(columns, CHANNELS))
    for number, name in enumerate(names):
        net.add_module(name, Block(CHANNELS, HEADS, first=not number))
    net.add_module("summary", Summary(CHANNELS))
    return Backbone(net, CHANNELS, names, dict.fromkeys(names, CHANNELS))


FAMILY = UntrainedFamily({"mlp": mlp, "ft_transformer": ft_transformer}, torch.float32)
