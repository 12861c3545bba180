"""Copies of weights: distances from them and averages with them, by hand."""

from __future__ import annotations

import torch
from torch import nn

from bench.api import Snapshot


def linear(weight: list[float], bias: float) -> nn.Linear:
    module = nn.Linear(2, 1)
    set_to(module, weight, bias)
    return module


def set_to(module: nn.Linear, weight: list[float], bias: float) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.tensor([weight]))
        module.bias.fill_(bias)


def test_squared_distance_by_hand() -> None:
    module = linear([1.0, 2.0], 3.0)
    snapshot = Snapshot(module)
    assert snapshot.squared_distance(module).item() == 0.0
    set_to(module, [1.0, 4.0], 0.0)
    distance = snapshot.squared_distance(module)
    assert distance.item() == 2.0**2 + 3.0**2
    distance.backward()
    assert module.weight.grad is not None
    assert module.bias.grad is not None
    assert module.weight.grad.tolist() == [[0.0, 4.0]]
    assert module.bias.grad.tolist() == [-6.0]


def test_mix_by_hand() -> None:
    module = linear([1.0, 2.0], 3.0)
    snapshot = Snapshot(module)
    set_to(module, [5.0, 2.0], -1.0)
    snapshot.mix_into(module, 0.25)
    assert module.weight.tolist() == [[2.0, 2.0]]
    assert module.bias.tolist() == [2.0]
    assert [tensor.tolist() for tensor in snapshot.tensors()] == [[[1.0, 2.0]], [3.0]]


def test_statistics_are_mixed_and_are_no_part_of_the_distance() -> None:
    module = nn.BatchNorm1d(2)
    snapshot = Snapshot(module)
    module.running_mean = torch.tensor([4.0, 8.0])
    module.running_var = torch.tensor([3.0, 5.0])
    assert snapshot.squared_distance(module).item() == 0.0
    snapshot.mix_into(module, 0.25)
    assert module.running_mean.tolist() == [1.0, 2.0]
    assert module.running_var.tolist() == [1.5, 2.0]
    assert module.num_batches_tracked is not None
    assert module.num_batches_tracked.item() == 0


def test_mix_at_the_ends() -> None:
    module = linear([1.0, 2.0], 3.0)
    snapshot = Snapshot(module)
    set_to(module, [5.0, 2.0], -1.0)
    snapshot.mix_into(module, 1.0)
    assert module.weight.tolist() == [[5.0, 2.0]]
    snapshot.mix_into(module, 0.0)
    assert module.weight.tolist() == [[1.0, 2.0]]


def test_copies_are_no_parameters_and_in_no_artifact() -> None:
    snapshot = Snapshot(linear([1.0, 2.0], 3.0))
    assert not list(snapshot.parameters())
    assert not snapshot.state_dict()
    assert len(list(snapshot.buffers())) == 2
