"""Batch norm, ReLU and max-pool in one: against PyTorch's own, and against differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.networks import second_order
from bench.networks.second_order import cheap_second_order, norm_relu_pool


def inputs(shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Maps, a positive and a negative weight (and a zero one with an output above zero), biases."""
    torch.manual_seed(0)
    weight = torch.tensor([1.3, -0.7, 0.0])
    found = torch.randn(*shape) + 2, weight, torch.tensor([0.1, 0.2, 0.5])
    return tuple(t.double().requires_grad_() for t in found)  # type: ignore[return-value]


def plain(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    normed = nn.functional.batch_norm(x, None, None, weight, bias, True)
    return nn.functional.max_pool2d(normed.relu(), 2)


@pytest.mark.parametrize("shape", [(4, 3, 6, 6), (3, 3, 7, 4), (2, 3, 2, 5)])
def test_outputs_and_both_derivatives_are_pytorchs(shape: tuple[int, ...]) -> None:
    ours, theirs = (_derivatives(f, shape) for f in (lambda *a: norm_relu_pool(*a, 1e-5), plain))  # type: ignore[misc]
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-9, atol=1e-11)


def _derivatives(f, shape: tuple[int, ...]) -> list[Tensor]:  # type: ignore[no-untyped-def]
    """The output, its gradients along a direction, and the gradients of their squares' weighted sum."""
    arguments = inputs(shape)
    out = f(*arguments)
    direction = torch.randn(out.shape, dtype=out.dtype).requires_grad_()
    first = torch.autograd.grad(out, arguments, direction, create_graph=True)
    weights = [torch.randn(g.shape, dtype=g.dtype) for g in first]
    total = sum((g * w).sum() for g, w in zip(first, weights, strict=True)) + out.square().sum()
    second = torch.autograd.grad(total, [*arguments, direction])
    return [out.detach(), *(t.detach() for t in first), *second]


def test_differences() -> None:
    x, weight, bias = inputs((3, 3, 4, 4))
    weight = weight.detach().clone()
    weight[2] = 0.4  # At zero the largest place jumps.
    arguments = (x, weight.requires_grad_(), bias)
    torch.autograd.gradcheck(lambda *a: norm_relu_pool(*a, 1e-5), arguments)
    torch.autograd.gradgradcheck(lambda *a: norm_relu_pool(*a, 1e-5), arguments)


def test_of_equals_the_first_gets_the_gradient() -> None:
    x = torch.tensor([[0.0, 3.0, 2.0, 2.0], [3.0, 1.0, 2.0, 2.0]]).view(1, 1, 2, 4)
    weight, bias = torch.ones(1), torch.full((1,), 9.0)
    places = second_order._largest(x)[1]
    assert places.flatten().tolist() == [1, 2]
    reference = nn.functional.max_pool2d(x, 2, return_indices=True)[1]
    assert torch.equal(places.view_as(reference), reference)
    assert norm_relu_pool(x, weight, bias, 1e-5).shape == (1, 1, 1, 2)


def network() -> nn.Sequential:
    """Two blocks: one that becomes a step, one whose pooling overlaps."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2)),
    ).double()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("worth", [0, 10**9])
def test_the_copy_computes_the_same_with_the_same_parameters(
    training: bool, worth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_order, "WORTH", worth)
    net = network().train(training)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    twin = cheap_second_order(net)
    assert all(a is b for a, b in zip(net.parameters(), twin.parameters(), strict=True))
    assert [n for n, _ in net.named_parameters()] == [n for n, _ in twin.named_parameters()]
    x = torch.randn(5, 1, 16, 14, dtype=torch.float64)
    out = twin(x)
    block = any("Block" in type(node).__name__ for node in _nodes(out.grad_fn))
    assert block == (training and worth == 0)
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())
    torch.testing.assert_close(out, net(x), rtol=1e-10, atol=1e-12)
    channels_last = x.expand(-1, 1, -1, -1).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(twin.to(memory_format=torch.channels_last)(channels_last), out)


def _nodes(node):  # type: ignore[no-untyped-def]
    while node is not None:
        yield node
        node = next((parent for parent, _ in node.next_functions if parent is not None), None)
