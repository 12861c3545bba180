"""Layers that encoders of the hub share; padding is zero, as in `bert.py`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional


def there(x: Tensor) -> Tensor:
    """Places that are no padding: (B, L, D) -> bool (B, L, 1)."""
    return (x != 0).any(-1, keepdim=True)


class Attention(nn.Module):
    """Attention of each token to all that are no padding."""

    fused_attn: bool
    """Whether in one kernel, which has one derivative only."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.fused_attn = heads, True
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def placed(self, x: Tensor) -> Tensor:
        """Queries or keys (B, H, L, C) with what tells of their places, which here is in the vectors."""
        return x

    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """Vectors (B, L, D) -> (B, L, D); `kept`: bool (B, L, 1), where zeros do not tell what is padding."""
        allowed = (there(x) if kept is None else kept).transpose(1, 2).unsqueeze(1)
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        q, k = self.placed(q), self.placed(k)
        if self.fused_attn:
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        else:
            scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
            mixed = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(-1) @ v
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Layer of a transformer: attention and two linear layers, each added to its input.

    Normalised before its parts, or behind each sum.
    """

    def __init__(self, attention: Attention, inner: int, eps: float, before: bool = True) -> None:
        super().__init__()
        width = attention.query.in_features
        self.before, self.attention = before, attention
        self.norm1 = nn.LayerNorm(width, eps)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm2 = nn.LayerNorm(width, eps)

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


class MeanPool(nn.Module):
    """Mean of the vectors that are no padding: (B, L, D) -> (B, D)."""

    def forward(self, x: Tensor) -> Tensor:
        """Mean over places."""
        return x.sum(1) / there(x).sum(1).clamp_min(1)


def stage_names(layers: int) -> list[str]:
    """Names of the layers, from input to output."""
    return [f"layer{number}" for number in range(layers)]


def network(layers: Iterable[tuple[str, nn.Module]]) -> nn.Sequential:
    """Layers in a row, at random initialisation: linear ones normal, deviation 0.02, as in BERT's code."""
    net = nn.Sequential(OrderedDict(layers))
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight)
    return net


def their_name_in(own: str, theirs: Mapping[str, str]) -> str:
    """Name in the library's files of a parameter of vectors or of a layer, as `layer0.up.bias`.

    `theirs`: names of the parts by ours.
    """
    stage, _, rest = own.partition(".")
    part, _, kind = rest.rpartition(".")
    before = "" if stage == "embed" else f"encoder.layer.{stage.removeprefix('layer')}."
    return f"{before}{theirs[part]}.{kind}"
