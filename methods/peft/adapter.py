"""Adapters: train small bottlenecks between the stages of a frozen network, and the head.

Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP". https://arxiv.org/abs/1902.00751

As in the paper (section 2.1): down-projection, nonlinearity, up-projection near zero, and a skip
connection. One behind each stage of the network, as Rebuffi et al. 2018 place theirs in convolutional
networks (https://arxiv.org/abs/1803.10082), where the paper has two in each layer of a transformer.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from bench.api import Backbone, CellSkipped, GradientMethod, Model, Task, tunable


class Bottleneck(nn.Module):
    """Adapter of channels: (..., C) -> (..., C), at first nearly zero."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.down = nn.Linear(channels, max(1, channels // reduction))
        self.up = nn.Linear(self.down.out_features, channels)
        nn.init.normal_(self.up.weight, std=1e-3)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """What is added."""
        out: Tensor = self.up(nn.functional.gelu(self.down(x)))
        return out


class Adapter(GradientMethod):
    """Cross-entropy over bottlenecks behind the stages of a frozen backbone, and the head."""

    learning_rate: float = tunable(3e-3, 1e-4, 3e-2)
    reduction: int = 8
    """Channels of a stage for each of its bottleneck."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Network with an adapter behind each stage; `CellSkipped` for one without stages."""
        if not backbone.stages:
            name = type(backbone.net).__name__
            raise CellSkipped(f"adapter needs a network with stages, which {name} is not")
        model = super().build(backbone, task)
        for name, info in zip(backbone.stages, cast(Any, backbone.net).feature_info, strict=True):
            stage = backbone.net.get_submodule(name)
            stage.adapter = Bottleneck(info["num_chs"], self.reduction)
            stage.register_forward_hook(_adapt)
        return model

    def trainable(self, model: Model) -> list[dict[str, Any]]:
        """Adapters and the head."""
        own = [p for name, p in model.backbone.named_parameters() if ".adapter." in name]
        return [{"params": [*own, *model.head.parameters()], "weight_decay": self.weight_decay}]


def _adapt(stage: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    adapter = cast(Bottleneck, stage.adapter)
    channels = adapter.down.in_features
    if output.shape[-1] != channels and output.ndim == 4 and output.shape[1] == channels:
        return output + adapter(output.movedim(1, -1)).movedim(-1, 1)
    return output + adapter(output)
