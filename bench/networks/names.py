"""Vectors of names: what an encoder of texts makes of what classes are called."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from bench.networks.backbones import text
from bench.networks.backbones.tokens import tokenise

LENGTH = 32
"""Most tokens of a name."""


def name_vectors(names: Sequence[str], encoder: str) -> Tensor:
    """Vectors (N, E) of length 1 of names, whose dashes and underscores are spaces.

    Raises:
        UserError: there is no such encoder, or it cannot be had.
    """
    return _vectors(tuple(name.replace("-", " ").replace("_", " ") for name in names), encoder)


@lru_cache(maxsize=16)
def _vectors(names: tuple[str, ...], encoder: str) -> Tensor:
    tokens = torch.from_numpy(tokenise(encoder, names, LENGTH).astype(np.int64))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)  # of an encoder without weights; draws of the cell go on as without
        vectors = text.create(encoder).eval()(tokens)
    return nn.functional.normalize(vectors)
