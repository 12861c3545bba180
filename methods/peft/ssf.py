"""SSF: train a scale and a shift of each layer's output, and the head.

Lian et al. 2022, "Scaling & Shifting Your Features: A New Baseline for Efficient Model Tuning".
https://arxiv.org/abs/2210.08823

As in the paper: y = gamma * x + beta by channel (equation 3) behind every linear layer, convolution and
normalisation, from gamma near 1 and beta near 0 (normal with standard deviation 0.02, as its authors' code
has it).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import Backbone, GradientMethod, Model, ParameterGroups, Task, tunable

CHANNELS_FIRST = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm)


class Ssf(GradientMethod):
    """Cross-entropy over scales and shifts of frozen layers' outputs, and the head."""

    reference = "hand-computed case"
    control = "linear-probe"

    learning_rate: float = tunable(3e-3, 1e-4, 3e-2)

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Network whose layers have a scale and a shift."""
        model = super().build(backbone, task)
        for layer in list(backbone.modules()):
            if isinstance(layer, (*CHANNELS_FIRST, nn.Linear, nn.LayerNorm)):
                width = len(layer.weight)
                layer.ssf_scale = nn.Parameter(1 + 0.02 * torch.randn(width))
                layer.ssf_shift = nn.Parameter(0.02 * torch.randn(width))
                layer.register_forward_hook(_scale_and_shift)
        return model

    def trainable(self, model: Model) -> ParameterGroups:
        """Scales and shifts, and the head, all of them new, whatever part of the network they are in."""
        own = [p for name, p in model.backbone.named_parameters() if ".ssf_" in name]
        return [
            {"params": own, "weight_decay": 0.0, "lr": self.learning_rate},
            {"params": list(model.head.parameters()), "weight_decay": self.weight_decay},
        ]


def _scale_and_shift(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    scale, shift = cast(Tensor, layer.ssf_scale), cast(Tensor, layer.ssf_shift)
    # Of images, some layer norms take the channels first too: those whose last axis is no channel.
    if output.ndim == 4 and (isinstance(layer, CHANNELS_FIRST) or output.shape[-1] != len(scale)):
        scale, shift = scale[:, None, None], shift[:, None, None]
    return output * scale + shift
