"""Adapters: train small bottlenecks between the stages of a frozen network, and the head.

Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP". https://arxiv.org/abs/1902.00751

As in the paper (section 2.1): down-projection, nonlinearity, up-projection near zero, and a skip
connection. One behind each stage of the network, as Rebuffi et al. 2018 place theirs in convolutional
networks (https://arxiv.org/abs/1803.10082), where the paper has two in each layer of a transformer.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import Backbone, CellSkipped, GradientMethod, Model, ParameterGroups, Task, tunable


class Adapter(GradientMethod):
    """Cross-entropy over bottlenecks behind the stages of a frozen backbone, and the head."""

    reference = "hand-computed case"
    control = "linear-probe"
    bounds = {"reduction": ">= 1"}

    learning_rate: float = tunable(3e-3, 1e-4, 3e-2)
    reduction: int = 8
    """Channels of a stage for each of its bottleneck."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Network with an adapter behind each stage; `CellSkipped` for one without stages."""
        if not backbone.widths:
            name = type(backbone.net).__name__
            raise CellSkipped(f"adapter needs a network with stages, which {name} is not")
        model = super().build(backbone, task)
        for name, channels in backbone.widths.items():
            stage = backbone.net.get_submodule(name)
            width = max(1, channels // self.reduction)
            # Parameters of the stage, no modules: a sequence would run those.
            stage.adapter_down = nn.Parameter(torch.randn(width, channels) / channels**0.5)
            stage.adapter_up = nn.Parameter(1e-3 * torch.randn(channels, width))
            stage.register_forward_hook(_adapt)
        return model

    def trainable(self, model: Model) -> ParameterGroups:
        """Adapters and the head, all of them new, whatever part of the network they are in."""
        own = [p for name, p in model.backbone.named_parameters() if ".adapter_" in name]
        new = [*own, *model.head.parameters()]
        return [{"params": new, "weight_decay": self.weight_decay, "lr": self.learning_rate}]


def _adapt(stage: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    down, up = cast(Tensor, stage.adapter_down), cast(Tensor, stage.adapter_up)
    first = output.ndim == 4 and output.shape[-1] != down.shape[1]
    x = output.movedim(1, -1) if first else output
    added = nn.functional.gelu(x @ down.T) @ up.T
    return output + (added.movedim(-1, 1) if first else added)
