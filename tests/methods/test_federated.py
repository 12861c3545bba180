"""Federated methods: rounds by hand, identical clients, what travels, and what does not."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import Tensor, nn

from bench.api import Backbone, Batch, FederatedMethod, Federation, GradientMethod, Model, Task
from bench.methods.federated.centralised import Centralised
from bench.methods.federated.fedavg import Fedavg
from bench.methods.federated.fedbn import Fedbn
from bench.methods.federated.fedprox import Fedprox
from bench.methods.federated.local_only import LocalOnly
from bench.methods.federated.scaffold import Corrected, Scaffold

ALL = [Fedavg, Fedprox, Fedbn, Scaffold, LocalOnly]
WEIGHTS = 4 * 3 + 2 * 3 + 3 * 2 + 2
"""Of `backbone` and a head for two classes: linear 4 -> 3, batch norm of 3, head 3 -> 2 with bias."""


def backbone() -> Backbone:
    torch.manual_seed(0)
    return Backbone(nn.Sequential(nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3)), 3, [], {})


def task(clients: int = 2, local_steps: int = 2) -> Task:
    return Task("target", ("a", "b"), 8, seed=0, clients=clients, local_steps=local_steps)


def build(method: GradientMethod, **changes: int) -> Model:
    torch.manual_seed(1)
    return method.build(backbone(), task(**changes)).train()


def batch(step: int, clients: int, identical: bool = False) -> Batch:
    """Four items for each client."""
    random = torch.Generator().manual_seed(step)
    x, y = torch.randn(4 * clients, 4, generator=random), torch.randint(2, (4 * clients,), generator=random)
    if identical:
        x, y = x[:4].repeat(clients, 1), y[:4].repeat(clients)
    return Batch(x, y, domain=torch.arange(clients).repeat_interleave(4))


def train(method: GradientMethod, model: Model, batches: list[Batch], optimizer: str = "sgd") -> None:
    """The engine's loop, bare: gradient, step, what follows it."""
    parameters = [p for group in method.trainable(model) for p in group["params"]]
    steps = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimizer](parameters, lr=0.1)
    for each in batches:
        steps.zero_grad()
        method.loss(model, each, 0.0).backward()
        steps.step()
        method.after_step(model, 0.0)


def tensors(model: nn.Module) -> list[Tensor]:
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]


def assert_close(one: nn.Module, other: nn.Module) -> None:
    for a, b in zip(tensors(one), tensors(other), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_one_client_is_plain_training(optimizer: str) -> None:
    """However many local steps: the mean of one network is that network."""
    method, plain = Fedavg(), Centralised()
    model, central = build(method, clients=1, local_steps=1), build(plain)
    batches = [batch(step, 1) for step in range(5)]
    train(method, model, batches, optimizer)
    train(plain, central, batches, optimizer)
    for a, b in zip(tensors(cast(Federation, model).server), tensors(central), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("method", [Fedavg(), Scaffold(), Fedprox(mu=0.0)], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_identical_clients_are_centralised_training(method: FederatedMethod, optimizer: str) -> None:
    plain = Centralised()
    model, central = build(method, clients=3), build(plain)
    batches = [batch(step, 3, identical=True) for step in range(6)]
    train(method, model, batches, optimizer)
    # A client's share: the statistics of a batch that holds everything thrice are unbiased otherwise.
    train(plain, central, [Batch(each.x[:4], each.y[:4]) for each in batches], optimizer)
    assert_close(cast(Federation, model).server, central)


def test_one_local_step_of_sgd_is_a_step_by_the_mean_gradient() -> None:
    method = Fedavg()
    model, reference = build(method, local_steps=1), build(Centralised())
    each = batch(0, 2)
    gradients = []
    for number in range(2):
        reference.zero_grad()
        nn.functional.cross_entropy(
            reference(each.x[each.domain == number]), each.y[each.domain == number]
        ).backward()
        gradients.append([p.grad.clone() for p in reference.parameters() if p.grad is not None])
    start = [p.detach().clone() for p in reference.parameters()]
    train(method, model, [each])
    for now, before, *both in zip(
        cast(Federation, model).server.parameters(), start, *gradients, strict=True
    ):
        torch.testing.assert_close(now.detach(), before - 0.1 * (both[0] + both[1]) / 2)


def test_a_round_is_a_mean_by_hand() -> None:
    """Biases 1 and 3 become 2, in the server and in both clients."""
    method = Fedavg()
    model = cast(Federation, build(method))
    for number, value in enumerate((1.0, 3.0)):
        nn.init.constant_(cast(nn.Linear, model.client(number).head).bias, value)
    method.meet(model)
    for network in (model.server, *model.networks):
        assert cast(nn.Linear, network.head).bias.tolist() == [2.0, 2.0]


def test_clients_part_within_a_round_alone() -> None:
    method = Fedavg()
    model = cast(Federation, build(method, local_steps=2))
    before = [tensor.clone() for tensor in tensors(model.server)]
    train(method, model, [batch(0, 2)])
    assert all(torch.equal(a, b) for a, b in zip(tensors(model.server), before, strict=True))
    assert not torch.equal(model.client(0).head.weight, model.client(1).head.weight)
    train(method, model, [batch(1, 2)])
    assert torch.equal(model.client(0).head.weight, model.client(1).head.weight)
    assert torch.equal(model.client(0).head.weight, model.head.weight)


@pytest.mark.parametrize(
    ("method", "numbers"),
    [
        # Statistics of batch norm, a mean and a variance each, travel with the weights.
        (Fedavg(), WEIGHTS + 6),
        (Fedprox(), WEIGHTS + 6),
        (Fedbn(), WEIGHTS - 6),
        (Scaffold(), 2 * WEIGHTS + 6),
        (LocalOnly(), 0),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int) else str(value),
)
def test_bytes_by_hand(method: FederatedMethod, numbers: int) -> None:
    """Four bytes a number, down and up, two clients, three rounds."""
    model = build(method)
    train(method, model, [batch(step, 2) for step in range(6)])
    assert method.report(model) == {"bytes_sent": 4 * numbers * 2 * 2 * 3}


def test_fedbn_leaves_batch_norm_where_it_is_by_hand() -> None:
    method = Fedbn()
    model = cast(Federation, build(method))
    train(method, model, [batch(step, 2) for step in range(4)])
    one, other = model.networks
    norms, layers = (
        [next(m for m in network.backbone.modules() if isinstance(m, kind)) for network in (one, other)]
        for kind in (nn.BatchNorm1d, nn.Linear)
    )
    assert not torch.equal(norms[0].running_mean, norms[1].running_mean)
    assert not torch.equal(norms[0].weight, norms[1].weight)
    assert torch.equal(layers[0].weight, layers[1].weight)
    assert method.of_client(model, 1) is model.client(1)


def test_fedprox_pulls_towards_the_server_by_hand() -> None:
    """Two biases of one client lie 3 from the server's: mu / 2 times 18."""
    model = cast(Federation, build(Fedprox(), clients=1))
    x, y = batch(0, 1).x, batch(0, 1).y
    nn.init.constant_(cast(nn.Linear, model.head).bias, 0.0)
    nn.init.constant_(cast(nn.Linear, model.client(0).head).bias, 3.0)
    near, free = (Fedprox(mu=mu).client_loss(model, 0, x, y) for mu in (0.5, 0.0))
    assert (near - free).item() == pytest.approx(0.25 * 18, rel=1e-5)


def test_scaffold_is_option_two_under_sgd() -> None:
    """c_i - c + (x - y_i) / (K rate), equation 4, after two rounds of two steps at rate 0.1."""
    method = Scaffold()
    model = cast(Corrected, build(method))
    train(method, model, [batch(0, 2), batch(1, 2)])
    own, mean = model.own.clone(), model.mean.clone()
    torch.testing.assert_close(mean, own.mean(0))
    assert not torch.equal(own[0], own[1])
    start = torch.cat([p.detach().reshape(-1) for p in model.server.parameters()])
    ends: list[Tensor] = []
    meet = method.meet

    class Watched(Scaffold):
        def meet(self, model: Federation) -> int:
            for network in model.networks:
                ends.append(torch.cat([p.detach().reshape(-1) for p in network.parameters()]))
            return meet(model)

    train(Watched(), model, [batch(2, 2), batch(3, 2)])
    expected = own - mean + (start - torch.stack(ends)) / (2 * 0.1)
    torch.testing.assert_close(model.own, expected, rtol=1e-3, atol=1e-5)


def test_scaffold_corrects_by_the_mean_of_what_clients_found_by_hand() -> None:
    """Gradients 1 and 2 of one client, 5 and 6 of the other: variates 1.5 and 5.5, their mean 3.5.

    In the next round gradients are corrected by 3.5 - 1.5 = 2 and by 3.5 - 5.5 = -2.
    """
    method = Scaffold()
    model = cast(Corrected, build(method))
    for gradients in ((1.0, 5.0), (2.0, 6.0)):
        for network, value in zip(model.networks, gradients, strict=True):
            for parameter in network.parameters():
                parameter.grad = torch.full_like(parameter, value)
        method.after_step(model, 0.0)
    torch.testing.assert_close(model.own, torch.tensor([[1.5], [5.5]]).expand(2, WEIGHTS))
    torch.testing.assert_close(model.mean, torch.full((WEIGHTS,), 3.5))
    each = batch(0, 2)
    for number, correction in enumerate((2.0, -2.0)):
        x, y = each.x[each.domain == number], each.y[each.domain == number]
        parameters = list(model.client(number).parameters())
        mine = torch.autograd.grad(method.client_loss(model, number, x, y), parameters)
        plain = torch.autograd.grad(Fedavg().client_loss(model, number, x, y), parameters)
        for one, other in zip(mine, plain, strict=True):
            torch.testing.assert_close(one - other, torch.full_like(one, correction))


def test_local_only_never_meets() -> None:
    method = LocalOnly()
    model = cast(Federation, build(method))
    train(method, model, [batch(step, 2) for step in range(4)])
    alone = build(Centralised())
    train(
        Centralised(),
        alone,
        [Batch(each.x[4:], each.y[4:]) for each in (batch(step, 2) for step in range(4))],
    )
    assert_close(model.client(1), alone)


@pytest.mark.parametrize("kind", ALL)
def test_the_loss_said_is_the_mean_over_clients(kind: type[FederatedMethod]) -> None:
    method = kind()
    model = cast(Federation, build(method))
    each = batch(0, 2)
    losses = [
        nn.functional.cross_entropy(model.client(k)(each.x[each.domain == k]), each.y[each.domain == k])
        for k in range(2)
    ]
    assert method.loss(model, each, 0.0).item() == pytest.approx(sum(losses).item() / 2, rel=1e-5)


def test_centralised_is_cross_entropy_by_hand() -> None:
    """Equal logits for two classes: ln 2."""
    model = build(Centralised())
    nn.init.zeros_(cast(nn.Linear, model.head).weight)
    nn.init.zeros_(cast(nn.Linear, model.head).bias)
    assert Centralised().loss(model, batch(0, 2), 0.0).item() == pytest.approx(0.693147, abs=1e-6)
