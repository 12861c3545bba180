"""ESM-2 as a sequence of layers in which padding is zero: letters (B, L) -> mean of their vectors (B, D).

Lin et al. 2023, https://doi.org/10.1126/science.ade2574 (and ESM-1b, Rives et al. 2021); without dropout.
As in `bert.py`, a place is padding where its vector is zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from bench.core.errors import UserError
from bench.networks.hub.files import path_of
from bench.networks.hub.layers import Attention, Block, Norm, network, stage_names, their_name_in, there

VOCABULARY = "vocab.txt"
MOST_VOCABULARY = 2**20
LETTERS = 28
"""Numbers that places of a sequence hold: padding, 26 letters, and all else."""
FIRST, LAST, UNKNOWN = "<cls>", "<eos>", "<unk>"
KEPT = 0.88
"""Share of the tokens that pretraining did not mask, by which vectors are multiplied (`token_dropout`)."""


class EsmForm(BaseModel):
    """Form of an ESM, as `config.json` says it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    vocab_size: int = Field(ge=1, le=2**16)
    hidden_size: int = Field(ge=1, le=2**14)
    num_hidden_layers: int = Field(ge=1, le=200)
    num_attention_heads: int = Field(ge=1, le=1000)
    intermediate_size: int = Field(ge=1, le=2**16)
    max_position_embeddings: int = Field(1026, ge=2, le=2**20)
    layer_norm_eps: float = Field(1e-12, gt=0, lt=1)
    position_embedding_type: Literal["rotary", "absolute"] = "absolute"
    rope_theta: float = Field(10_000.0, gt=0)
    emb_layer_norm_before: bool | None = None
    token_dropout: bool | None = False
    pad_token_id: int = Field(1, ge=0)
    is_folding_model: Literal[False] | None = False
    is_decoder: Literal[False] | None = False

    @model_validator(mode="after")
    def _even(self) -> EsmForm:
        width, rest = divmod(self.hidden_size, self.num_attention_heads)
        if rest or (width % 2 and self.rotary):
            raise ValueError(f"{self.hidden_size} channels are not shared evenly by its heads")
        return self

    @property
    def rotary(self) -> bool:
        """True if places are told by turning queries and keys (Su et al. 2021, arXiv:2104.09864)."""
        return self.position_embedding_type == "rotary"

    @property
    def first_position(self) -> int:
        """Number of the first position's embedding."""
        return self.pad_token_id + 1

    @property
    def most(self) -> int | None:
        """Most letters of a sequence, beside the marks that begin and end it; None: any number will do."""
        return None if self.rotary else self.max_position_embeddings - self.first_position - 2


def numbers_of_letters(name: str, size: int) -> Tensor:
    """Numbers in an encoder's vocabulary: (LETTERS + 2,) of the numbers of letters, and the marks' behind.

    What the vocabulary lacks, as J, is unknown, as it is for the library's tokeniser.

    Raises:
        UserError: the vocabulary cannot be had, or is none of proteins.
    """
    content = path_of(name, VOCABULARY, MOST_VOCABULARY).read_text("utf-8", "replace")
    return numbered({token.strip(): number for number, token in enumerate(content.splitlines())}, name, size)


def numbered(vocabulary: Mapping[str, int], name: str, size: int) -> Tensor:
    """As `numbers_of_letters`, of a vocabulary that was read."""
    letters: Sequence[str] = [chr(ord("A") + number) for number in range(26)]
    lacking = [mark for mark in (FIRST, LAST, UNKNOWN) if mark not in vocabulary]
    if lacking or not set(letters) & vocabulary.keys() or max(vocabulary.values()) >= size:
        what = f"lacks '{lacking[0]}'" if lacking else f"has no letters, or more than {size} entries"
        raise UserError(f"'{VOCABULARY}' of '{name}' {what}: it is no vocabulary of proteins of this network")
    unknown = vocabulary[UNKNOWN]
    tokens = [vocabulary.get(letter, unknown) for letter in letters]
    return torch.tensor([unknown, *tokens, unknown, vocabulary[FIRST], vocabulary[LAST]])


class Embed(nn.Module):
    """Vectors of letters between two marks: numbers (B, L), 0 for padding behind -> (B, L + 2, D)."""

    numbers: Tensor

    def __init__(self, form: EsmForm, numbers: Tensor) -> None:
        super().__init__()
        self.register_buffer("numbers", numbers, persistent=False)
        self.scale = KEPT if form.token_dropout else 1.0
        self.first = form.first_position
        self.words = nn.Embedding(form.vocab_size, form.hidden_size)
        self.places = None if form.rotary else nn.Embedding(form.max_position_embeddings, form.hidden_size)
        self.norm = (
            nn.LayerNorm(form.hidden_size, form.layer_norm_eps) if form.emb_layer_norm_before else None
        )

    def forward(self, letters: Tensor) -> Tensor:
        """Vectors, zero at padding."""
        lengths = (letters > 0).sum(1, keepdim=True)
        at = torch.arange(letters.shape[1] + 2, device=letters.device)
        tokens = functional.pad(self.numbers[letters], (1, 1))
        first, last = self.numbers[LETTERS:]
        tokens = torch.where(at == 0, first, torch.where(at == lengths + 1, last, tokens))
        x = self.words(tokens) * self.scale
        if self.places is not None:
            x = x + self.places(at + self.first)
        if self.norm is not None:
            x = self.norm(x)
        out: Tensor = x * (at <= lengths + 1).unsqueeze(-1)
        return out


class Rotary(Attention):
    """Attention whose queries and keys are turned by their places."""

    frequencies: Tensor

    def __init__(self, form: EsmForm) -> None:
        super().__init__(form.hidden_size, form.num_attention_heads)
        width = form.hidden_size // form.num_attention_heads
        rates = 1 / form.rope_theta ** (torch.arange(0, width, 2).float() / width)
        self.register_buffer("frequencies", rates, persistent=False)

    def placed(self, x: Tensor) -> Tensor:
        """Queries or keys (B, H, L, C), turned."""
        angles = torch.arange(x.shape[2], device=x.device)[:, None] * self.frequencies
        angles = torch.cat([angles, angles], dim=-1)
        low, high = x.float().chunk(2, dim=-1)
        turned = torch.cat([-high, low], dim=-1)
        return (x.float() * angles.cos() + turned * angles.sin()).to(x.dtype)


class MeanOfLetters(nn.Module):
    """Mean of the vectors of letters, without the marks before and behind: (B, L + 2, D) -> (B, D)."""

    def forward(self, x: Tensor) -> Tensor:
        """Mean over letters."""
        inner = there(x)[:, 2:]
        out: Tensor = (x[:, 1:-1] * inner).sum(1) / inner.sum(1).clamp_min(1)
        return out


def esm(form: EsmForm, numbers: Tensor) -> nn.Sequential:
    """Encoder at random initialisation: normal with a standard deviation of 0.02."""
    layers: list[tuple[str, nn.Module]] = [("embed", Embed(form, numbers))]
    width, eps = form.hidden_size, form.layer_norm_eps
    for name in stage_names(form.num_hidden_layers):
        attention = Rotary(form) if form.rotary else Attention(width, form.num_attention_heads)
        layers.append((name, Block(attention, form.intermediate_size, eps)))
    return network([*layers, ("norm", Norm(width, eps)), ("pool", MeanOfLetters())])


THEIRS = {
    "words": "embeddings.word_embeddings",
    "places": "embeddings.position_embeddings",
    "norm": "embeddings.layer_norm",
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.out": "attention.output.dense",
    "norm1": "attention.LayerNorm",
    "norm2": "LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
}
"""Names of the parts in the files of the library transformers, by ours."""


def their_name(own: str) -> str:
    """Name in the files of the library transformers of a parameter, as `layer0.up.bias`."""
    stage, _, rest = own.partition(".")
    if stage == "norm":
        return f"encoder.emb_layer_norm_after.{rest}"
    return their_name_in(own, THEIRS)


def set_frequencies(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Turn by the angles that a file holds, which may be rounded: once, or the same in each layer."""
    held = [key for key in sorted(state) if key.endswith("rotary_embeddings.inv_freq")]
    for module in net.modules():
        if held and isinstance(module, Rotary) and state[held[0]].shape == module.frequencies.shape:
            module.frequencies = state[held[0]].float().clone()
