"""Inputs of texts: tokens as the encoder takes them, with word dropout."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from bench.data.decoders.text import as_text
from bench.engine.training.inputs.base import InputsRequest, onto
from bench.networks.backbones.tokens import tokenise

DROPPED = {"none": 0.0, "word-dropout": 0.1}
"""Share of a text's tokens that each augmentation leaves out."""
STRONGLY = 0.3
"""The same of a strong second view: that of Iyyer et al. 2015, section 5 (https://doi.org/10.3115/v1/P15-1162)."""

NUMBERS = 384
"""Numbers that a network begins with for each token, by which batches of evaluations are sized."""


@dataclass(frozen=True)
class TextInputs:
    """Tokens, numbers plus one with zeros as padding: int32 (N, L) -> int64 (B, L)."""

    tokens: np.ndarray
    device: torch.device
    dropout: float = 0.0

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each text."""
        return np.asarray((self.tokens > 0).sum(1))

    @property
    def numbers(self) -> int:
        """Numbers that a network begins with."""
        return int(self.tokens.shape[1] * NUMBERS)

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.tokens)

    def take(self, rows: np.ndarray, augment_seed: int | None = None, strong: bool = False) -> Tensor:
        """Tokens (B, L); with a seed, some become padding, but never the first of a text."""
        tokens = self.tokens[rows]
        share = STRONGLY if strong else self.dropout
        if augment_seed is not None and share:
            dropped = np.random.default_rng(augment_seed).random(tokens.shape) < share
            dropped[:, 0] = False
            tokens = np.where(dropped, 0, tokens)
        return onto(torch.from_numpy(tokens.astype(np.int64)), self.device)


def text_inputs(request: InputsRequest) -> TextInputs:
    """Inputs of texts in the words of the encoder that takes them."""
    texts = [as_text(points) for points in request.decoded]
    tokens = tokenise(request.backbone, texts, request.size)
    return TextInputs(tokens, request.device, DROPPED[request.augment])
