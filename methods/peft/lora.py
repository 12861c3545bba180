"""LoRA: train low-rank additions to the layers' weights, and the head.

Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models". https://arxiv.org/abs/2106.09685

As in the paper: h = W x + (alpha / r) B A x with B at zero (section 4.1), r 8 and alpha 16. In every linear
layer and every convolution that is not grouped (for which A has the kernel, and B is 1 x 1), where the
paper takes the projections of attention.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from bench.api import Backbone, GradientMethod, Model, ParameterGroups, Task, tunable


class Lora(GradientMethod):
    """Cross-entropy over low-rank additions to frozen layers, and the head."""

    reference = "loralib 0.1.2"
    control = "linear-probe"
    bounds = {"rank": ">= 1"}

    learning_rate: float = tunable(3e-3, 1e-4, 3e-2)
    rank: int = 8
    alpha: float = tunable(16.0, 1.0, 64.0)
    """Scale of the additions, which are multiplied by alpha / rank."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Network whose layers have additions, at zero."""
        model = super().build(backbone, task)
        for layer in list(backbone.modules()):
            if isinstance(layer, nn.Linear):
                down: nn.Module = nn.Linear(layer.in_features, self.rank, bias=False)
                up: nn.Module = nn.Linear(self.rank, layer.out_features, bias=False)
            elif isinstance(layer, nn.Conv2d) and layer.groups == 1:
                down, up = self._of_convolution(layer)
            else:
                continue
            nn.init.zeros_(cast(Tensor, up.weight))
            layer.lora = nn.Sequential(down, up)
            layer.register_forward_hook(self._add)
        return model

    def _of_convolution(self, layer: nn.Conv2d) -> tuple[nn.Module, nn.Module]:
        own = ("kernel_size", "stride", "padding", "dilation", "padding_mode")
        shape: dict[str, Any] = {name: getattr(layer, name) for name in own}
        down = nn.Conv2d(layer.in_channels, self.rank, bias=False, **shape)
        return down, nn.Conv2d(self.rank, layer.out_channels, 1, bias=False)

    def _add(self, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        x = _padded(layer, inputs[0], output) if isinstance(layer, nn.Conv2d) else inputs[0]
        down, up = cast(nn.Sequential, layer.lora)
        # Of the few channels in between a multiple costs next to nothing.
        added: Tensor = up(self.alpha / self.rank * down(x))
        return output + added

    def trainable(self, model: Model) -> ParameterGroups:
        """Additions, and the head, all of them new, whatever part of the network they are in."""
        additions = [p for name, p in model.backbone.named_parameters() if ".lora." in name]
        new = [*additions, *model.head.parameters()]
        return [{"params": new, "weight_decay": self.weight_decay, "lr": self.learning_rate}]


def _padded(layer: nn.Conv2d, x: Tensor, output: Tensor) -> Tensor:
    """Images (B, C, H, W) with the padding that a convolution as in TensorFlow adds when it runs."""
    if isinstance(layer.padding, str):
        return x
    sides: list[int] = []
    for axis in (1, 0):
        reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1
        taken = (output.shape[2 + axis] - 1) * layer.stride[axis] + reach
        lacking = max(0, taken - x.shape[2 + axis] - 2 * layer.padding[axis])
        sides += [lacking // 2, lacking - lacking // 2]
    return nn.functional.pad(x, sides) if any(sides) else x
