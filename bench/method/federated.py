"""Methods whose clients train networks of their own, which meet in rounds."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from bench.method.base import Details, GradientMethod, Model, ParameterGroups
from bench.method.batch import Access, Batch, Task
from bench.networks.backbones.base import Backbone


class Federation(Model):
    """The server's network, and one for each client, which begins as a copy of it."""

    steps: Tensor
    sent: Tensor

    def __init__(self, network: Model, task: Task) -> None:
        super().__init__(network.backbone, network.head)
        self.local_steps = task.local_steps
        self.clients = nn.ModuleList(copy.deepcopy(network) for _ in range(task.clients))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("sent", torch.zeros((), dtype=torch.long))

    @property
    def server(self) -> Model:
        """The server's network, in the form of a client's."""
        return Model(self.backbone, self.head)

    @property
    def networks(self) -> list[Model]:
        """Networks of the clients."""
        return [cast(Model, client) for client in self.clients]

    def client(self, number: int) -> Model:
        """Network of a client."""
        return self.networks[number]


class FederatedMethod(GradientMethod):
    """Cross-entropy of each client on its own items, and a mean of their networks after each round.

    Clients count equally, and keep their optimiser's state from round to round. The server's network, the
    mean of the last round, is what is tested, unless `personal` says that each client tests its own.
    """

    access: ClassVar[Access] = Access.TARGET_LABELS | Access.CLIENTS
    needs: ClassVar[Access] = Access.CLIENTS
    personal: ClassVar[bool] = False
    """True if each client's test items are predicted by its own network."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Build the server's network, and the clients'."""
        return Federation(super().build(backbone, task), task)

    def trainable(self, model: Model) -> ParameterGroups:
        """Groups of the clients' parameters; the server's are their means."""
        own = super().trainable
        return [group for client in cast(Federation, model).networks for group in own(client)]

    def client_loss(self, model: Federation, number: int, x: Tensor, y: Tensor) -> Tensor:
        """Scalar loss of a client on its own items (B, ...)."""
        return nn.functional.cross_entropy(model.client(number)(x), y)

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Sum over the clients, each of which has the gradient of its own; its value is their mean."""
        model = cast(Federation, model)
        count = len(model.clients)
        domain = torch.zeros_like(batch.y) if batch.domain is None else batch.domain
        total = torch.stack(
            [
                self.client_loss(model, number, batch.x[domain == number], batch.y[domain == number])
                for number in range(count)
            ]
        ).sum()
        return total - total.detach() * (1 - 1 / count)

    def shared(self, network: Model) -> Iterator[Tensor]:
        """Parameters and statistics that travel, in a fixed order; by default all."""
        return numbers(network)

    @torch.no_grad()
    def meet(self, model: Federation) -> int:
        """End a round: the server takes the means, and the clients take them over; returns bytes sent."""
        sent = 0
        clients = [list(self.shared(client)) for client in model.networks]
        for mean, *each in zip(self.shared(model.server), *clients, strict=True):
            mean.copy_(torch.stack(each).mean(0))
            for tensor in each:
                tensor.copy_(mean)
            # Down to each client as the round begins, and up again as it ends.
            sent += 2 * len(each) * mean.nbytes
        return sent

    def after_step(self, model: Model, progress: float) -> None:
        """Count the steps, and meet after those of a round."""
        model = cast(Federation, model)
        model.steps.add_(1)
        if int(model.steps) % model.local_steps == 0:
            model.sent.add_(self.meet(model))

    def report(self, model: Model) -> Details:
        """Bytes that were sent in all rounds, in both directions."""
        return {"bytes_sent": int(cast(Federation, model).sent)}

    @classmethod
    def tests_by_client(cls) -> bool:
        """True for `personal` methods."""
        return cls.personal

    def of_client(self, model: Model, number: int) -> Model:
        """Network of that client."""
        return cast(Federation, model).client(number)


def numbers(network: nn.Module) -> Iterator[Tensor]:
    """Parameters, then statistics as those of batch norm, without counters."""
    yield from network.parameters()
    yield from (buffer for buffer in network.buffers() if buffer.is_floating_point())
