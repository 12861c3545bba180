"""Weights that a stage began with, to stay near or to average with."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class Snapshot(nn.Module):
    """Copy of a module's parameters in buffers, which checkpoints of the loop keep and artifacts do not."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        for number, parameter in enumerate(module.parameters()):
            self.register_buffer(str(number), parameter.detach().clone(), persistent=False)

    def tensors(self) -> list[Tensor]:
        """Copies, in the order of the parameters."""
        return list(self.buffers())

    def squared_distance(self, module: nn.Module) -> Tensor:
        """Sum of squared differences between a module's parameters and the copies: -> ()."""
        pairs = zip(module.parameters(), self.tensors(), strict=True)
        return torch.stack([(now - before).square().sum() for now, before in pairs]).sum()

    @torch.no_grad()
    def mix_into(self, module: nn.Module, share: float) -> None:
        """Replace each parameter in place by `share` of itself and the rest of its copy."""
        for now, before in zip(module.parameters(), self.tensors(), strict=True):
            cast(Tensor, now).lerp_(before, 1 - share)
