"""BERT as a sequence of layers in which padding is zero: tokens (B, L) -> mean of their vectors (B, D).

Devlin et al. 2019, https://arxiv.org/abs/1810.04805; without dropout. A place is padding where its vector is
zero, which each layer sees for itself and keeps: so a network can be split between layers, and what lies
below be kept, without a mask beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.networks.hub.form import Form
from bench.networks.hub.layers import Attention, Block, MeanPool, network, stage_names, their_name_in


class Embed(nn.Module):
    """Vectors of tokens, with those of their places: numbers plus one (B, L), 0 for padding -> (B, L, D)."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.first = form.first_position
        self.words = nn.Embedding(form.vocab_size, form.hidden_size)
        self.places = nn.Embedding(form.max_position_embeddings, form.hidden_size)
        self.kinds = nn.Embedding(form.type_vocab_size, form.hidden_size)
        self.norm = nn.LayerNorm(form.hidden_size, form.layer_norm_eps)

    def forward(self, tokens: Tensor) -> Tensor:
        """Vectors, zero at padding."""
        places = torch.arange(self.first, self.first + tokens.shape[1], device=tokens.device)
        words = self.words((tokens - 1).clamp_min(0))
        x = self.norm(words + self.kinds.weight[0] + self.places(places))
        out: Tensor = x * (tokens > 0).unsqueeze(-1)
        return out


def bert(form: Form) -> nn.Sequential:
    """Encoder at random initialisation: normal with a standard deviation of 0.02, as in the paper's code."""
    layers: list[tuple[str, nn.Module]] = [("embed", Embed(form))]
    width, eps = form.hidden_size, form.layer_norm_eps
    for name in stage_names(form.num_hidden_layers):
        attention = Attention(width, form.num_attention_heads)
        layers.append((name, Block(attention, form.intermediate_size, eps, before=False)))
    return network([*layers, ("pool", MeanPool())])


THEIRS = {
    "words": "embeddings.word_embeddings",
    "places": "embeddings.position_embeddings",
    "kinds": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.out": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm2": "output.LayerNorm",
}
"""Names of the parts in the files of the library transformers, by ours."""


def their_name(own: str) -> str:
    """Name in the files of the library transformers of a parameter, as `layer0.up.bias`."""
    return their_name_in(own, THEIRS)
