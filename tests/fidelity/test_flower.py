"""Federated averaging against flwr's server, to which clients of the same networks report."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from bench.api import Backbone, Batch, Federation, Model, Task
from bench.methods.federated.fedavg import Fedavg
from tests.fidelity.compare import assert_near

Peer = Callable[[str], ModuleType]
CLIENTS, LOCAL_STEPS, ROUNDS, RATE = 3, 4, 3, 0.1
TASK = Task("target", ("a", "b"), 8, seed=0, clients=CLIENTS, local_steps=LOCAL_STEPS)


def federation() -> Federation:
    net = nn.Sequential(nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3))
    return cast(Federation, Fedavg().build(Backbone(net, 3, [], {}), TASK).train())


def numbers(network: nn.Module) -> list[Tensor]:
    """All that travels: weights, and the statistics of batch norm."""
    return [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]


def client_items(step: int, client: int) -> tuple[Tensor, Tensor]:
    """Items of each client are of its own kind, so that their networks part."""
    random = torch.Generator().manual_seed(10 * step + client)
    x = torch.randn(6, 4, generator=random) + client
    return x, torch.randint(2, (6,), generator=random)


def batch(step: int) -> Batch:
    x, y = (torch.cat(each) for each in zip(*(client_items(step, k) for k in range(CLIENTS)), strict=True))
    return Batch(x, y, domain=torch.arange(CLIENTS).repeat_interleave(6))


def aggregated(peer: Peer, networks: list[Model]) -> list[Tensor]:
    """Mean of networks by their server's strategy; clients have as many items each."""
    common, strategy = peer("flwr.common"), peer("flwr.server.strategy").FedAvg()
    status = common.Status(common.Code.OK, "")

    def report(network: Model) -> Any:
        arrays = [tensor.detach().numpy() for tensor in numbers(network)]
        return None, common.FitRes(status, common.ndarrays_to_parameters(arrays), 6, {})

    found, _ = strategy.aggregate_fit(1, [report(network) for network in networks], [])
    return [torch.from_numpy(array) for array in common.parameters_to_ndarrays(found)]


def test_a_round_is_their_mean(peer: Peer) -> None:
    model = federation()
    with torch.no_grad():
        for network in model.networks:
            for tensor in numbers(network):
                tensor.add_(torch.rand_like(tensor))
    expected = aggregated(peer, model.networks)
    Fedavg().meet(model)
    for network in (model.server, *model.networks):
        for place, (mine, theirs) in enumerate(zip(numbers(network), expected, strict=True)):
            assert_near(mine, theirs, f"tensor {place}")


def test_rounds_give_their_network(peer: Peer) -> None:
    """Clients that train alone and report to their server, and our loop: the same after every round."""
    method, model = Fedavg(), federation()
    server = [tensor.clone() for tensor in numbers(model.server)]
    alone = [cast(Model, network) for network in federation().networks]
    parameters = [p for group in method.trainable(model) for p in group["params"]]
    ours = torch.optim.SGD(parameters, lr=RATE)
    for number in range(ROUNDS):
        steps = range(number * LOCAL_STEPS, (number + 1) * LOCAL_STEPS)
        for step in steps:
            ours.zero_grad()
            method.loss(model, batch(step), 0.0).backward()
            ours.step()
            method.after_step(model, 0.0)
        for client, network in enumerate(alone):
            with torch.no_grad():
                for mine, sent in zip(numbers(network), server, strict=True):
                    mine.copy_(sent)
            optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
            for step in steps:
                x, y = client_items(step, client)
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(x), y).backward()
                optimizer.step()
        assert not torch.equal(alone[0].head.weight, alone[1].head.weight)
        server = aggregated(peer, alone)
        for place, (mine, theirs) in enumerate(zip(numbers(model.server), server, strict=True)):
            assert_near(mine, theirs, f"round {number}, tensor {place}")
