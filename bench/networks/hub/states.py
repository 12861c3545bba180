"""Weights of encoders as the library transformers saves them, put into networks of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from bench.core.errors import UserError
from bench.networks.hub.files import WEIGHTS


def read(name: str, file: Path | bytes, prefix: str) -> dict[str, Tensor]:
    """Tensors of a file by the library's names for them now.

    Some files have the name of the whole model before each, and gamma and beta of norms for weight and bias.

    Raises:
        UserError: it is damaged.
    """
    try:
        load, load_file = safetensors.torch.load, safetensors.torch.load_file
        state = load(file) if isinstance(file, bytes) else load_file(file)
    except (SafetensorError, OSError) as error:
        raise UserError(f"cannot read '{WEIGHTS}' of '{name}': {error}") from None
    return {_present(key.removeprefix(f"{prefix}.")): value for key, value in state.items()}


def _present(key: str) -> str:
    for before, now in ((".gamma", ".weight"), (".beta", ".bias")):
        if key.endswith(f"LayerNorm{before}"):
            return key.removesuffix(before) + now
    return key


def fill(net: nn.Module, state: Mapping[str, Tensor], their_name: Callable[[str], str], name: str) -> None:
    """Put tensors into a network whose parameters have other names.

    Raises:
        UserError: one is missing, of another shape, or not finite.
    """
    expected = net.state_dict()
    wrong = [
        key
        for key, value in expected.items()
        if (found := state.get(their_name(key))) is None
        or found.shape != value.shape
        or not found.is_floating_point()
        or not found.isfinite().all()
    ]
    if wrong:
        raise UserError(
            f"'{WEIGHTS}' of '{name}' are not this encoder's: '{their_name(wrong[0])}' is missing, of "
            f"another shape, or not finite, of {len(wrong)}"
        )
    net.load_state_dict({key: state[their_name(key)].float() for key in expected})
