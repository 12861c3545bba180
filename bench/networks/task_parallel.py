"""Mean gradient of several small tasks, which a CPU computes side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor, nn

from bench.core.errors import UserError
from bench.networks.second_order import cheap_second_order

T = TypeVar("T")


def mean_gradient(
    model: nn.Module, loss: Callable[[nn.Module, T], Tensor], tasks: Sequence[T]
) -> tuple[Tensor, list[Tensor]]:
    """Mean loss () of tasks, and its gradient by each of the model's parameters, in their order.

    The operations of a small task are too small for several threads each. On a CPU with more than one thread,
    each thread therefore takes a task at a time, alone. A task's numbers and the order in which they are
    summed do not depend on which thread is faster.

    Args:
        model: the network; it stays as it is, running statistics included.
        loss: of a copy of the network, which has the very same parameters, on a task: a scalar. It may take
            one derivative itself, as `adapt` does.
        tasks: at least one.

    Raises:
        UserError: tasks that run side by side drew random numbers (dropout), in no certain order.
    """
    parameters = list(model.parameters())
    cpu = parameters[0].device.type == "cpu"
    autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def one(task: T) -> tuple[Tensor, list[Tensor]]:
        net = cheap_second_order(model)
        value = loss(net, task)
        grads = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
        return value.detach(), list(grads)

    def aside(task: T) -> tuple[Tensor, list[Tensor]]:
        # Autocast is a thread's own.
        with torch.autocast("cpu", dtype=autocast[1], enabled=autocast[0]):
            return one(task)

    threads = torch.get_num_threads()
    if not cpu or min(threads, len(tasks)) == 1:
        return _mean(list(map(one, tasks)))
    state = torch.get_rng_state()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            found = list(pool.map(aside, tasks))
    finally:
        # A thread's own number of threads is also what later threads begin with.
        torch.set_num_threads(threads)
    if not torch.equal(state, torch.get_rng_state()):
        raise UserError(
            "tasks that run side by side cannot draw random numbers: use one thread, or no dropout"
        )
    return _mean(found)


def _mean(found: list[tuple[Tensor, list[Tensor]]]) -> tuple[Tensor, list[Tensor]]:
    losses, gradients = zip(*found, strict=True)
    return torch.stack(losses).mean(), [torch.stack(g).mean(0) for g in zip(*gradients, strict=True)]
