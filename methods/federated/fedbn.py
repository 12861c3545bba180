"""FedBN: batch norm stays with each client, whose images look otherwise than the others'.

Li et al. 2021, "FedBN: Federated Learning on Non-IID Features via Local Batch Normalization".
https://arxiv.org/abs/2102.07623

As in the paper (algorithm 1): parameters and statistics of batch norm are neither sent nor averaged, and each
client is tested with its own. A network without batch norm makes it FedAvg.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from bench.api import BatchNorm, FederatedMethod, Model


class Fedbn(FederatedMethod):
    """Cross-entropy of each client, and the mean of all but batch norm after each round."""

    reference = "hand-computed case"
    personal = True
    control = "fedavg"

    def shared(self, network: Model) -> Iterator[Tensor]:
        """All but batch norm's."""
        layers = [module for module in network.modules() if isinstance(module, BatchNorm)]
        local = {id(tensor) for layer in layers for tensor in (*layer.parameters(), *layer.buffers())}
        return (tensor for tensor in super().shared(network) if id(tensor) not in local)
