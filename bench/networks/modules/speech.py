"""Speech embedding: a small network that was trained on spoken words, with its weights out of ONNX files.

Lin et al. 2020, "Training keyword spotters with limited and synthesized speech data"
(https://arxiv.org/abs/2002.01322): convolutions over 32 mel bands that end in 96 numbers every 80 ms.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.core.errors import UserError
from bench.networks.modules.spectrogram import power_spectrum

WIDTHS = (24, 48, 72, 96, 96)
POOLS = ((2, 2), (1, 2), (2, 2), (1, 2), (2, 2))
"""Pooling over time and frequency behind each stage."""
BANDS, FEATURES = 32, 96


class SpeechEmbedding(nn.Module):
    """Speech embedding of waveforms (B, T) at 16 kHz, the mean over time: (B, 96).

    Recordings have to be of 800 ms or more. Batch norm is in the weights of the convolutions.
    """

    SHORTEST = 800
    """Milliseconds of the shortest recording that gives a number."""

    def __init__(self) -> None:
        super().__init__()
        self.front = SpeechMel()
        inputs = (1, *WIDTHS)
        self.stages = nn.Sequential(
            *(_stage(n, a, b) for n, (a, b) in enumerate(zip(inputs, WIDTHS, strict=False)))
        )
        self.last = nn.Conv2d(WIDTHS[-1], FEATURES, (3, 1), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features."""
        out: Tensor = self.last(self.stages(self.front(x))).mean((2, 3))
        return out

    def load(self, front: Mapping[str, np.ndarray], network: Mapping[str, np.ndarray]) -> None:
        """Take over the weights of the files of the front end and of the network.

        Raises:
            UserError: they are not this network's.
        """
        state = {"front.filters": front.get("1.melW"), "last.weight": network.get(_name(19, None))}
        convolutions = [name for name, module in self.stages.named_modules() if isinstance(module, nn.Conv2d)]
        for number, name in enumerate(convolutions):
            for part in ("weight", "bias"):
                state[f"stages.{name}.{part}"] = network.get(_name(number, part))
        wrong = [
            name
            for name, own in self.state_dict().items()
            if (array := state.get(name)) is None or array.shape != tuple(own.shape)
        ]
        if wrong:
            raise UserError(f"the weights of the speech embedding are not this network's: '{wrong[0]}'")
        self.load_state_dict(
            {name: torch.from_numpy(array) for name, array in state.items() if array is not None}
        )


class SpeechMel(nn.Module):
    """Front end of the speech embedding: waveforms (B, T) -> (B, 1, frames, 32).

    Decibels of samples from -32,768 to 32,767, of which 80 below a recording's loudest place are kept, a
    tenth of them, and 2.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", torch.rand(257, BANDS) / 257)

    def forward(self, x: Tensor) -> Tensor:
        """Spectrograms, time along the third axis."""
        with torch.autocast(x.device.type, enabled=False):
            power = power_spectrum(x * 2.0**15).transpose(1, 2) @ self.get_buffer("filters")
            level = 10 * power.clamp_min(1e-10).log10()
            kept = torch.maximum(level, level.amax((1, 2), keepdim=True) - 80)
            return (kept / 10 + 2).unsqueeze(1)


class _Activation(nn.Module):
    """Leaky ReLU that ends at -0.4."""

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, 0.2).clamp_min(-0.4)


def _stage(number: int, channels: int, filters: int) -> nn.Sequential:
    """Convolutions over frequency and time in turn, and pooling."""
    kernels = [(1, 3), (3, 1)] * 2 if number else [(3, 3), (1, 3), (3, 1)]
    layers: list[nn.Module] = []
    for place, kernel in enumerate(kernels):
        inputs = filters if place else channels
        layers += [nn.Conv2d(inputs, filters, kernel, padding=(0, kernel[1] // 2)), _Activation()]
    return nn.Sequential(*layers, nn.MaxPool2d(POOLS[number]))


def _name(number: int, part: str | None) -> str:
    """Name of a convolution's tensor in the file; of the last one, which has a weight only, with no part."""
    layer = f"model/conv2d_{number}/Conv2D" if number else "model/conv2d/Conv2D"
    if part is None:
        return f"{layer}/ReadVariableOp:0"
    return f"{layer}_{'weights' if part == 'weight' else 'bias'}_fused_bn"
