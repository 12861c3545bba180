"""Prototypes and adaptation by hand; `tests/methods/test_maml.py` compares gradients with learn2learn's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.api import Model, adapt, prototype_head, prototypes

# Prototypes --------------------------------------------------------------------------------------------


def test_prototypes_by_hand() -> None:
    features = torch.tensor([[1.0, 0.0], [5.0, 5.0], [3.0, 2.0]])
    means = prototypes(features, torch.tensor([0, 1, 0]), 2)
    assert means.tolist() == [[2.0, 1.0], [5.0, 5.0]]


def test_prototype_head_by_hand() -> None:
    weight, bias = prototype_head(torch.tensor([[2.0, 1.0], [0.0, -3.0]]), 0.5)
    assert weight.tolist() == [[2.0, 1.0], [0.0, -3.0]]
    assert bias.tolist() == [-2.5, -4.5]


@pytest.mark.parametrize("scale", [0.03, 0.5, 2.0])
def test_prototype_head_is_the_squared_distance(scale: float) -> None:
    torch.manual_seed(0)
    f, c = torch.randn(7, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    logits = nn.functional.linear(f, *prototype_head(c, scale))
    distances = (f[:, None] - c[None]).square().sum(2)
    left = logits + scale * distances
    torch.testing.assert_close(left, left[:, :1].expand(-1, 4), msg="a constant for each image")
    torch.testing.assert_close(logits.softmax(1), (-scale * distances).softmax(1))


# One step by hand --------------------------------------------------------------------------------------


def test_one_step_of_softmax_regression_by_hand() -> None:
    """At zero both classes have probability 1/2, so the gradient is (p - y) x = (-1/2, 1/2) · 2."""
    model = Model(nn.Identity(), nn.Linear(1, 2))
    zero = (torch.zeros(2, 1, requires_grad=True), torch.zeros(2, requires_grad=True))
    fast = adapt(model, [], zero, [(torch.tensor([[2.0]]), torch.tensor([0]))], 0.1, False)
    torch.testing.assert_close(fast["head.weight"], torch.tensor([[0.1], [-0.1]]))
    torch.testing.assert_close(fast["head.bias"], torch.tensor([0.05, -0.05]))


def test_no_step_is_the_identity() -> None:
    model = Model(nn.Linear(3, 4), nn.Linear(4, 2))
    head = (torch.randn(5, 4), torch.randn(5))
    names = ["backbone.weight", "backbone.bias"]
    fast = adapt(model, names, head, [], 0.1, True)
    assert list(fast) == [*names, "head.weight", "head.bias"]
    for name in names:
        assert torch.equal(fast[name], model.get_parameter(name))
    assert torch.equal(fast["head.weight"], head[0])
    assert torch.equal(fast["head.bias"], head[1])
