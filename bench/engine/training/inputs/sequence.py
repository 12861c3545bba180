"""Inputs of sequences: numbers of letters, as an embedding takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.data.decoders.sequence import OTHER
from bench.engine.training.inputs.base import InputsRequest, onto
from bench.networks.hub.files import of_hub

MASKED = 0.15
"""Share of the letters that a strong view hides (Devlin et al. 2019, https://arxiv.org/abs/1810.04805)."""

NUMBERS = 384
"""Numbers that an encoder of the hub makes of a letter, by which batches of evaluations are sized."""


@dataclass(frozen=True)
class SequenceInputs:
    """Sequences (N, L) of a domain: int32, 0 for padding."""

    sequences: np.ndarray
    device: torch.device
    wide: int = 1
    """Numbers that a network begins with for each place."""

    @property
    def numbers(self) -> int:
        """Numbers that a network begins with."""
        return int(self.sequences.shape[1]) * self.wide

    @property
    def lengths(self) -> None:
        """None: the network is built for one length."""
        return None

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.sequences)

    def take(self, rows: np.ndarray, augment_seed: int | None = None, strong: bool = False) -> Tensor:
        """Sequences (B, L), int64; in strongly augmented ones some letters are unknown."""
        x = self.sequences[rows].astype(np.int64)
        if strong and augment_seed is not None:
            hidden = np.random.default_rng(augment_seed).random(x.shape) < MASKED
            x = np.where(hidden & (x != 0), OTHER, x)
        return onto(torch.from_numpy(x), self.device)


def sequence_inputs(request: InputsRequest) -> SequenceInputs:
    """Inputs of sequences, as they were decoded."""
    return SequenceInputs(request.decoded, request.device, NUMBERS if of_hub(request.backbone) else 1)
