"""Methods that adapt to a stream of test images: what they learn from, by hand, and what it changes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from bench.api import Model, normalise_by_batch
from bench.methods.testtime.eata import Eata
from bench.methods.testtime.t3a import T3a, most_certain


def linear(weight: list[list[float]]) -> nn.Linear:
    head = nn.Linear(len(weight[0]), len(weight), bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.tensor(weight))
    return head


def test_the_most_certain_of_each_class() -> None:
    entropies, labels = torch.tensor([3.0, 1.0, 2.0, 0.0, 0.5]), torch.tensor([0, 0, 1, 0, 3])
    assert sorted(most_certain(entropies, labels, 2).tolist()) == [1, 2, 3, 4]
    assert sorted(most_certain(entropies, labels, 1).tolist()) == [2, 3, 4]


def test_prototypes_follow_the_stream_by_hand() -> None:
    """The second class has come nearer to the first: an image between them is its, by what was seen."""
    model = Model(nn.Identity(), linear([[1.0, 0.0], [0.0, 1.0]])).eval()
    between = torch.tensor([[1.0, 0.95]])
    assert model(between).argmax() == 0
    seen = torch.tensor([[1.0, 0.2]] * 10 + [[1.0, 1.4]] * 10)
    (_, features), (logits, _) = T3a().stream(model, iter([seen, between]))
    assert torch.equal(features, seen)
    # Sums of the unit vectors of the weight, of ten images, and of the image itself, which joins the first.
    first = torch.tensor([1.0, 0.0]) + 10 * torch.tensor([1.0, 0.2]) / math.hypot(1, 0.2)
    first += between[0] / between.norm()
    second = torch.tensor([0.0, 1.0]) + 10 * torch.tensor([1.0, 1.4]) / math.hypot(1, 1.4)
    expected = torch.stack([between[0] @ c / c.norm() for c in (first, second)])
    torch.testing.assert_close(logits[0], expected)
    assert logits.argmax() == 1


CERTAIN = [[0.97, 0.01, 0.01, 0.01], [0.01, 0.97, 0.01, 0.01]]
"""Entropies of 0.168, below 0.4 ln 4 = 0.555."""
UNCERTAIN = [0.7, 0.1, 0.1, 0.1]
"""An entropy of 0.940."""


@pytest.mark.parametrize(
    ("average", "worth"),
    [
        (None, [True, True, False]),
        # The bound is 0.05 sqrt(1000 / 4) = 0.79; cosines are 1.0 and 0.02.
        ([0.97, 0.01, 0.01, 0.01], [False, True, False]),
        # A uniform average is like a certain prediction by 0.52.
        ([0.25, 0.25, 0.25, 0.25], [True, True, False]),
    ],
)
def test_images_that_are_worth_a_step_by_hand(average: list[float] | None, worth: list[bool]) -> None:
    p = torch.tensor([*CERTAIN, UNCERTAIN])
    assert Eata().worth(p, None if average is None else torch.tensor(average)).tolist() == worth


def moved(x: Tensor) -> Tensor:
    """How far a batch moves the normalisation's scales and shifts, of a network in evaluation mode."""
    model = Model(nn.LayerNorm(3), linear([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]])).eval()
    before = [p.detach().clone() for p in model.backbone.parameters()]
    list(Eata(step_size=0.1).stream(model, iter([x])))
    return torch.stack([(p - q).norm() for p, q in zip(model.backbone.parameters(), before, strict=True)])


def test_a_step_is_taken_by_certain_images_alone() -> None:
    certain, uncertain = torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.9, -2.0]])
    assert (moved(uncertain) == 0).all()
    assert (moved(certain) > 0).all()
    torch.testing.assert_close(moved(torch.cat([certain, uncertain])), moved(certain))


def test_normalisation_alone_learns_and_by_the_batch() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5), nn.LayerNorm(2)).eval()
    found = normalise_by_batch(network)
    assert [id(p) for p in found] == [id(p) for place in (1, 3) for p in network[place].parameters()]
    assert {id(p) for p in network.parameters() if p.requires_grad} == {id(p) for p in found}
    assert [module.training for module in network] == [False, True, False, True]
