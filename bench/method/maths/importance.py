"""Importance of weights for what was learnt, and the pull towards where it left them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Importance(nn.Module):
    """Diagonal of the Fisher information of some weights, and the centre that they are held to."""

    def __init__(self, weights: list[nn.Parameter]) -> None:
        super().__init__()
        for number, tensor in enumerate([*weights, *weights]):
            self.register_buffer(str(number), torch.zeros_like(tensor.detach()))

    def triples(self, weights: list[nn.Parameter]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Weights, each with its Fisher information and its centre."""
        kept = list(self.buffers())
        return list(zip(weights, kept[: len(weights)], kept[len(weights) :], strict=True))

    def penalty(self, weights: list[nn.Parameter]) -> Tensor:
        """Squared distance from the centre, weighted: -> ()."""
        triples = self.triples(weights)
        return torch.stack([(fisher * (p - centre).square()).sum() for p, fisher, centre in triples]).sum()

    @torch.no_grad()
    def add(self, weights: list[nn.Parameter], found: list[Tensor]) -> None:
        """Add the Fisher information at the weights as they are."""
        for (p, fisher, centre), new in zip(self.triples(weights), found, strict=True):
            total = fisher + new
            centre.copy_(torch.where(total > 0, (fisher * centre + new * p) / total, p))
            fisher.copy_(total)


def fisher_diagonal(
    model: nn.Module, weights: list[nn.Parameter], pairs: list[tuple[Tensor, Tensor]]
) -> list[Tensor]:
    """Mean squared gradient of the log-likelihood of single items x (1, ...), y (), by weight."""
    total = [torch.zeros_like(p) for p in weights]
    for x, y in pairs:
        loss = nn.functional.cross_entropy(model(x), y[None])
        for mean, gradient in zip(total, torch.autograd.grad(loss, weights), strict=True):
            mean.add_(gradient.square() / len(pairs))
    return total
