"""FedProx: clients are held near the network that the server sent them.

Li et al. 2020, "Federated Optimization in Heterogeneous Networks". https://arxiv.org/abs/1812.06127

As in the paper: mu / 2 times the squared distance from the round's start (equation 2), mu among the values of
section 5.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.api import FederatedMethod, Federation, tunable


class Fedprox(FederatedMethod):
    """Cross-entropy of each client and its distance from the server, and the mean after each round."""

    reference = "hand-computed case"
    control = "fedavg"

    mu: float = tunable(0.01, 1e-3, 1.0)
    """Strength of the pull."""

    def client_loss(self, model: Federation, number: int, x: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy and the pull towards the server's network, which is the round's start."""
        pairs = zip(model.client(number).parameters(), model.server.parameters(), strict=True)
        distance = torch.stack([(mine - start.detach()).square().sum() for mine, start in pairs]).sum()
        return super().client_loss(model, number, x, y) + self.mu / 2 * distance
