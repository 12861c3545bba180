"""SCAFFOLD: each client's gradient is corrected by how it differs from the mean of all clients'.

Karimireddy et al. 2020, "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning".
https://arxiv.org/abs/1910.06378

As in the paper (algorithm 1) with all clients in every round and a server's rate of 1: gradients g - c_i + c
(equation 3), and a client's variate c_i is the mean of its gradients in the last round, which under SGD is
option II (equation 4). Unlike it: the corrected gradient goes through the optimiser of all methods here.
Variates travel beside the weights, which doubles the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from bench.api import Backbone, FederatedMethod, Federation, Model, Task


class Corrected(Federation):
    """Federation with variates: `own` (clients, P) of P weights, their `mean` (P,), `total` of a round."""

    own: Tensor
    mean: Tensor
    total: Tensor

    def __init__(self, network: Model, task: Task) -> None:
        super().__init__(network, task)
        size = len(flat(network.parameters()))
        for name, shape in (
            ("own", (task.clients, size)),
            ("mean", (size,)),
            ("total", (task.clients, size)),
        ):
            self.register_buffer(name, torch.zeros(shape))


class Scaffold(FederatedMethod):
    """Cross-entropy of each client with a corrected gradient, and the mean after each round."""

    reference = "hand-computed case"
    control = "fedavg"

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Build the server's network, the clients', and variates of zero."""
        network = Model(backbone, self.new_head(backbone.num_features, task))
        return Corrected(network, task)

    def client_loss(self, model: Federation, number: int, x: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy, and a linear term whose gradient is the correction."""
        assert isinstance(model, Corrected)
        weights = flat(model.client(number).parameters())
        correction = (model.mean - model.own[number]) @ weights
        return super().client_loss(model, number, x, y) + correction

    @torch.no_grad()
    def after_step(self, model: Model, progress: float) -> None:
        """Add up the gradients without their correction, and meet after those of a round."""
        assert isinstance(model, Corrected)
        for number, client in enumerate(model.networks):
            gradient = flat(p.grad for p in client.parameters() if p.grad is not None)
            model.total[number] += gradient - model.mean + model.own[number]
        super().after_step(model, progress)

    @torch.no_grad()
    def meet(self, model: Federation) -> int:
        """Average the networks, and renew the variates."""
        assert isinstance(model, Corrected)
        renewed = model.total / model.local_steps
        model.mean += (renewed - model.own).mean(0)
        model.own.copy_(renewed)
        model.total.zero_()
        return super().meet(model) + 2 * model.own.nbytes


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """Numbers of tensors behind each other: -> (P,)."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])
