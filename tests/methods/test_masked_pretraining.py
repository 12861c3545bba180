"""Masked pretraining by hand, and on sequences whose letters tell each other."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from bench.api import Backbone, Batch, CellSkipped, Model, StageItems, Task
from bench.methods.selfsupervised.masked_pretraining import MaskedPretraining, hidden
from bench.networks.backbones.create import create_backbone

MASK = 27
LENGTH = 6


def stage(place: int) -> Task:
    return Task("source", ("a", "b"), 4, seed=0, place=place)


def network(method: MaskedPretraining, place: int = 0) -> Model:
    """A network at the beginning of a stage."""
    torch.manual_seed(0)
    model = method.build(create_backbone("peptide_cnn.untrained", LENGTH), stage(place))
    method.begin(model, cast(StageItems, None), stage(place))
    return model


def test_letters_are_hidden_by_hand() -> None:
    """Of the chosen places the first is hidden, the second becomes another letter, the third stays."""
    x = torch.tensor([[1, 2, 3, 4, 0]])
    chosen = torch.tensor([[True, True, True, False, False]])
    fate = torch.tensor([[0.79, 0.85, 0.95, 0.1, 0.1]])
    other = torch.full_like(x, 9)
    assert hidden(x, chosen, fate, other, MASK).tolist() == [[MASK, 9, 3, 4, 0]]


def test_the_loss_of_letters_by_hand() -> None:
    """Of 28 numbers the letter A has three times the probability of each other: 3 / 30 and 1 / 30."""
    method = MaskedPretraining(masked=1.0)
    model = network(method)
    letters = cast(Any, model.letters)
    with torch.no_grad():
        letters.weight.zero_()
        letters.bias.zero_()
        letters.bias[1] = math.log(3)
    labelled = torch.tensor([[1, 2, 0, 0, 0, 0]])
    unlabelled = torch.tensor([[1, 3, 4, 0, 0, 0]])
    batch = Batch(labelled, torch.tensor([0]), target_x=unlabelled)
    expected = (2 * math.log(10) + 3 * math.log(30)) / 5
    assert method.loss(model, batch, 0.49).item() == pytest.approx(expected)
    classes = nn.functional.cross_entropy(model(labelled), torch.tensor([0]))
    torch.testing.assert_close(method.loss(model, batch, 0.5), classes)


def test_labels_have_no_part_in_it_and_letters_none_behind_it() -> None:
    method = MaskedPretraining()
    model = network(method)
    x = torch.randint(1, 20, (8, LENGTH))
    method.loss(model, Batch(x, torch.zeros(8, dtype=torch.long)), 0.0).backward()
    assert {p.grad for p in model.head.parameters()} == {None}
    later = network(method, place=1)
    method.loss(later, Batch(x, torch.zeros(8, dtype=torch.long)), 0.0).backward()
    assert {p.grad for p in cast(nn.Module, later.letters).parameters()} == {None}


def test_it_learns_what_letters_say_of_each_other() -> None:
    """Every letter is there twice, side by side: the one tells the other."""
    method = MaskedPretraining()
    model = network(method)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

    def loss() -> Tensor:
        x = torch.randint(1, 20, (64, LENGTH // 2)).repeat_interleave(2, 1)
        return method.loss(model, Batch(x, torch.zeros(64, dtype=torch.long)), 0.0)

    first = loss().item()
    for _ in range(150):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    # No better than chance is log(19) = 2.9; a hidden neighbour leaves a part of it.
    assert first > 2.5
    assert sum(loss().item() for _ in range(5)) / 5 < 1.5


def test_networks_without_letters_are_refused() -> None:
    with pytest.raises(CellSkipped, match="needs a network of letters, which Identity is not"):
        MaskedPretraining().build(Backbone(nn.Identity(), 2, []), stage(0))
