"""VPT: train prompts, tokens beside those of the image, and the head.

Jia et al. 2022, "Visual Prompt Tuning". https://arxiv.org/abs/2203.12119

The shallow variant of section 3.2: prompts enter before the first layer of a vision transformer, behind its
class token, drawn uniformly as in its authors' code. 50 prompts, of the 1 to 200 that the paper tunes over.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from bench.api import Backbone, CellSkipped, GradientMethod, Model, ParameterGroups, Task, tunable


class Vpt(GradientMethod):
    """Cross-entropy over prompts before the first layer, and the head."""

    reference = "hand-computed case"
    control = "linear-probe"
    bounds = {"prompts": ">= 1"}

    learning_rate: float = tunable(3e-3, 1e-4, 3e-2)
    prompts: int = 50

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Network whose first layer sees prompts; `CellSkipped` for one that has no tokens to put them
        beside.
        """
        net: Any = backbone.net
        if getattr(net, "global_pool", "") != "token" or not hasattr(net, "norm_pre"):
            name = type(net).__name__
            raise CellSkipped(f"vpt needs a vision transformer with a class token, which {name} is not")
        model = super().build(backbone, task)
        bound = math.sqrt(6 / (3 * math.prod(net.patch_embed.patch_size) + net.embed_dim))
        # Held by the layer before the first one, so that a copy of the network has prompts of its own.
        layer = net.norm_pre
        layer.prefix = net.num_prefix_tokens
        layer.prompts = nn.Parameter(torch.empty(1, self.prompts, net.embed_dim).uniform_(-bound, bound))
        layer.register_forward_hook(_insert)
        return model

    def trainable(self, model: Model) -> ParameterGroups:
        """Prompts and the head, all of them new, whatever part of the network they are in."""
        prompts = [p for name, p in model.backbone.named_parameters() if name.endswith(".prompts")]
        new = [*prompts, *model.head.parameters()]
        return [{"params": new, "weight_decay": self.weight_decay, "lr": self.learning_rate}]


def _insert(layer: nn.Module, inputs: tuple[Tensor], tokens: Tensor) -> Tensor:
    """Tokens (B, N, D) with prompts behind the first ones, which are no part of the image."""
    prefix, prompts = cast(int, layer.prefix), cast(Tensor, layer.prompts)
    return torch.cat([tokens[:, :prefix], prompts.expand(len(tokens), -1, -1), tokens[:, prefix:]], 1)
