"""Layers that encoders of the hub share; padding is zero, as in `bert.py`."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from bench.networks.backbones.bert import Attention, there


class Block(nn.Module):
    """Layer of a transformer: attention and two linear layers, each added to its input.

    Normalised before its parts, or behind each sum.
    """

    def __init__(self, attention: Attention, inner: int, eps: float, before: bool = True) -> None:
        super().__init__()
        width = attention.query.in_features
        self.before, self.attention = before, attention
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, L, D) -> (B, L, D), padding at zero."""
        kept = there(x)
        if self.before:
            # What is normalised is no zero at padding.
            x = x + self.attention(self.norm1(x), kept)
            x = x + self._inner(self.norm2(x))
        else:
            x = self.norm1(x + self.attention(x, kept))
            x = self.norm2(x + self._inner(x))
        return x * kept

    def _inner(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(functional.gelu(self.up(x)))
        return out


class Norm(nn.LayerNorm):
    """Norm of the vectors that are no padding."""

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, L, D) -> (B, L, D), padding at zero."""
        return super().forward(x) * there(x)
