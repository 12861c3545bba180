"""MixStyle: give features of an image the style of another, or one in between: their means and deviations.

Zhou et al. 2021, "Domain Generalization with MixStyle". https://arxiv.org/abs/2104.02008

As in the paper (section 3.2, equations 4 to 6, and its code): behind the first two stages of the network,
in half of the steps, a share of Beta(0.1, 0.1) for each image, no gradient through statistics. Images meet
each other in random order, of all sources (the paper's variant without domain labels).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from bench.api import Backbone, CellSkipped, GradientMethod, Model, Task, tunable

STAGES = 2


class Mixstyle(GradientMethod):
    """Cross-entropy, styles mixed behind the lower stages while training."""

    reference = "hand-computed case"
    control = {"probability": 0.0}
    # An image's features depend on another's.
    per_sample_loss = False
    bounds = {"alpha": "> 0"}

    probability: float = tunable(0.5, 0.1, 1.0, log=False)
    """Share of steps in which styles are mixed."""
    alpha: float = 0.1
    """Both parameters of the share's Beta distribution."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Network that mixes styles; `CellSkipped` for one without stages."""
        if not backbone.widths:
            name = type(backbone.net).__name__
            raise CellSkipped(f"mixstyle needs a network with stages, which {name} is not")
        for name in backbone.stages[:STAGES]:
            stage = backbone.net.get_submodule(name)
            stage.register_forward_hook(partial(_mix, backbone.widths[name], self.probability, self.alpha))
        return super().build(backbone, task)


def _mix(
    channels: int, probability: float, alpha: float, stage: nn.Module, inputs: tuple[Tensor], output: Tensor
) -> Tensor:
    if (positions := output[0].numel() // channels) < 2:
        count = "none" if output.ndim == 2 else positions
        raise CellSkipped(
            f"mixstyle mixes statistics over positions, and features of this network have {count}"
        )
    if not stage.training or float(torch.rand(())) >= probability:
        return output
    last = output.ndim == 3 or output.shape[1] != channels
    x = output.movedim(-1, 1) if last else output
    share = torch.distributions.Beta(alpha, alpha).sample((len(x),)).to(x)
    mixed = restyled(x, torch.randperm(len(x)).to(x.device), share)
    return mixed.movedim(1, -1) if last else mixed


def restyled(x: Tensor, order: Tensor, share: Tensor) -> Tensor:
    """Features (B, C, ...) with `share` (B,) of their own style and the rest of that of `order` (B,)."""
    space = tuple(range(2, x.ndim))
    mean = x.detach().mean(space, keepdim=True)
    deviation = (x.detach().var(space, keepdim=True) + 1e-6).sqrt()
    share = share.reshape(-1, *[1] * (x.ndim - 1))
    new_mean, new_deviation = (share * own + (1 - share) * own[order] for own in (mean, deviation))
    return (x - mean) / deviation * new_deviation + new_mean
