"""Normalisation layers of a network, and their statistics."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

BatchNorm = nn.modules.batchnorm._BatchNorm
NORMALISATION = (BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)


def normalisation_layers(network: nn.Module) -> list[nn.Module]:
    """Layers of a network that normalise, by a batch or by each item, in order."""
    return [module for module in network.modules() if isinstance(module, NORMALISATION)]


def normalise_by_batch(network: nn.Module) -> list[nn.Parameter]:
    """Let batch norm normalise by each batch, and normalisation alone learn: returns what it learns."""
    layers = normalisation_layers(network)
    network.requires_grad_(False)
    for layer in layers:
        layer.train().requires_grad_(True)
    return [parameter for layer in layers for parameter in layer.parameters()]


@torch.no_grad()
def recompute_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace batch norm's running statistics by plain means over batches of inputs, in place.

    Only layers of batch norm are in training mode meanwhile; afterwards all are in the mode they were in.
    """
    norms = [layer for layer in normalisation_layers(network) if isinstance(layer, BatchNorm)]
    before = [(norm.momentum, norm.training) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for x in batches:
        network(x)
    for norm, (momentum, training) in zip(norms, before, strict=True):
        norm.momentum = momentum
        norm.train(training)
