"""FedAvg: clients train by themselves, and after each round their networks are averaged.

McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data".
https://arxiv.org/abs/1602.05629

As in the paper (algorithm 1) with all clients in every round. Unlike it: clients count equally, as they have
equal shares of every step, and the optimiser is that of all methods here, whose state stays with each client.
"""

from __future__ import annotations

from bench.api import FederatedMethod


class Fedavg(FederatedMethod):
    """Cross-entropy of each client, and the mean of their networks after each round."""

    reference = "flwr 1.42.0"
    control = "local-only"
