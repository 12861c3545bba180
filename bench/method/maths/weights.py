"""Weights that a stage began with, to stay near or to average with."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Snapshot(nn.Module):
    """Copy of a module's parameters and statistics in buffers.

    Checkpoints of the loop keep it and artifacts do not.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._parameters_in_it = len(list(module.parameters()))
        for number, tensor in enumerate(_numbers(module)):
            self.register_buffer(str(number), tensor.detach().clone(), persistent=False)

    def tensors(self) -> list[Tensor]:
        """Copies of the parameters, in their order."""
        return list(self.buffers())[: self._parameters_in_it]

    def squared_distance(self, module: nn.Module) -> Tensor:
        """Sum of squared differences between a module's parameters and the copies: -> ()."""
        pairs = zip(module.parameters(), self.tensors(), strict=True)
        return torch.stack([(now - before).square().sum() for now, before in pairs]).sum()

    @torch.no_grad()
    def follow(self, module: nn.Module, share: float) -> None:
        """Move each copy by `share` of the way to the module's parameter or statistic."""
        for now, mine in zip(_numbers(module), self.buffers(), strict=True):
            mine.lerp_(now, share)

    @torch.no_grad()
    def mix_into(self, module: nn.Module, share: float) -> None:
        """Replace each parameter and statistic in place by `share` of itself and the rest of its copy."""
        for now, before in zip(_numbers(module), self.buffers(), strict=True):
            now.lerp_(before, 1 - share)


def _numbers(module: nn.Module) -> list[Tensor]:
    """Parameters, then buffers that are no counters, as batch norm's running statistics."""
    return [*module.parameters(), *(buffer for buffer in module.buffers() if buffer.is_floating_point())]
