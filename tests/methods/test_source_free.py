"""Source-free adaptation: pseudo-labels and neighbours by hand, and a shift that it undoes."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import Tensor, nn

from bench.api import Backbone, Batch, GradientMethod, Labelled, Model, Task
from bench.methods.sourcefree.nrc import Nrc, disagreement, neighbours
from bench.methods.sourcefree.shot import Shot, information_loss, pseudo_labels
from tests.support.items import stage_items

TASK = Task("adapt", ("left", "right"), 16, seed=0)


def test_pseudo_labels_are_those_of_the_nearest_centroid() -> None:
    """The last item is predicted wrongly, and lies where the second class does."""
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.55, 0.45]])
    assert pseudo_labels(features, p).tolist() == [0, 0, 1, 1]


def test_a_class_that_nothing_is_predicted_to_be_has_no_centroid() -> None:
    """Half of each prediction is the third class's, whose centroid would lie amidst all."""
    features = torch.tensor([[1.0, -1.0], [1.0, 1.0], [1.0, 0.1]])
    p = torch.tensor([[0.51, 0.0, 0.49], [0.0, 0.51, 0.49], [0.0, 0.51, 0.49]])
    assert pseudo_labels(features, p).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("p", "loss"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], -0.693147),  # Certain and diverse.
        ([[1.0, 0.0], [1.0, 0.0]], 0.0),
        ([[0.5, 0.5], [0.5, 0.5]], 0.0),
        # 0.562335 of each, less ln 2 of the mean.
        ([[0.75, 0.25], [0.25, 0.75]], 0.562335 - 0.693147),
    ],
)
def test_information(p: list[list[float]], loss: float) -> None:
    assert information_loss(torch.tensor(p)).item() == pytest.approx(loss, abs=1e-5)


def directions(*degrees: float) -> Tensor:
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def test_neighbours_are_others() -> None:
    bank = directions(0, 10, 25, 90)
    assert neighbours(bank, torch.arange(4), 1).tolist() == [[1], [0], [1], [2]]
    assert neighbours(bank, torch.tensor([[2, 3]]), 2).tolist() == [[[1, 0], [2, 1]]]
    assert neighbours(bank, torch.tensor([0]), 10).tolist() == [[1, 2, 3]], "there are no more"


def test_disagreement_by_hand() -> None:
    """K = M = 1. The first item is the nearest of its nearest; the third is not."""
    at, bank = torch.tensor([0, 2]), torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.5, 0.5]])
    p = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    near = neighbours(directions(0, 10, 25, 90), at, 1)
    further = neighbours(directions(0, 10, 25, 90), near, 1)
    loss = disagreement(p, at, bank, near, further, affinity=0.1)
    first, third = 0.6 + 0.1 * 0.8 + 0.8, 0.1 * 0.4 + 0.1 * 0.2 + 0.7
    assert loss.item() == pytest.approx(-(first + third) / 2)
    (gradient,) = torch.autograd.grad(loss, p)
    expected = [
        [0.6 + 0.1 * 0.8 + 0.8, 0.4 + 0.1 * 0.2 + 0.2],
        [0.1 * 0.6 + 0.1 * 0.8 + 0.3, 0.1 * 0.4 + 0.1 * 0.2 + 0.7],
    ]
    torch.testing.assert_close(gradient, -torch.tensor(expected) / 2)


class Moved(nn.Module):
    """Features that are the inputs, moved by what can be learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.by


def network(method: GradientMethod) -> Model:
    """The source's: left and right of zero."""
    model = method.build(Backbone(Moved(), 2, []), TASK)
    with torch.no_grad():
        cast(nn.Linear, model.head).weight.copy_(torch.tensor([[-2.0, 0.0], [2.0, 0.0]]))
        cast(nn.Linear, model.head).bias.zero_()
    return model


NONE = torch.empty(0, dtype=torch.long)


def none(x: Tensor) -> Labelled:
    """No labelled items."""
    return Labelled(x[:0], NONE, NONE)


def adapt(method: GradientMethod, model: Model, x: Tensor, steps: int = 150) -> None:
    """As the engine does, without its schedule."""
    random = torch.Generator().manual_seed(1)
    with stage_items(none(x), x) as items:
        method.begin(model, items, TASK)
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.03)
        refreshes = {round(at * steps) for at in method.refresh_at(model)}
        for step in range(steps):
            if step in refreshes:
                method.refresh(model, items, step / steps)
            at = torch.randperm(len(x), generator=random)[: TASK.batch_size]
            batch = Batch(x[:0], NONE, target_x=x[at], target_at=at)
            optimizer.zero_grad()
            method.loss(model, batch, step / steps).backward()
            optimizer.step()


@pytest.mark.parametrize("method", [Shot(), Nrc()], ids=["shot", "nrc"])
def test_a_shift_is_undone(method: GradientMethod) -> None:
    """Clusters at -1 and 1 have moved to 0.4 and 2.4, so that the source takes all for the right one."""
    torch.manual_seed(0)
    y = torch.arange(64) % 2
    x = torch.stack([0.4 + 2.0 * y, torch.ones(64)], 1) + 0.1 * torch.randn(64, 2)
    model = network(method)
    head = model.head.weight.clone()
    assert (model(x).argmax(1) == y).float().mean() == 0.5
    adapt(method, model, x)
    assert (model(x).argmax(1) == y).all()
    if isinstance(method, Shot):
        assert torch.equal(model.head.weight, head), "the source's classifier"


def test_shots_train_the_classifier_too() -> None:
    method = Shot()
    model = network(method)
    x, y = torch.randn(6, 2), torch.arange(6) % 2
    shots = Labelled(x, y, y)
    for stage, data, trained in (("adapt", none(x), False), ("target", shots, True)):
        with stage_items(data, x) as items:
            method.begin(model, items, Task(stage, TASK.classes, 16, seed=0))
            chosen = {id(p) for group in method.trainable(model) for p in group["params"]}
            assert {id(p) in chosen for p in model.head.parameters()} == {trained}
            assert id(model.backbone.net.by) in chosen
    at = torch.arange(6)
    with_shots = method.loss(model, Batch(x, y, target_x=x, target_at=at), 0.0)
    without = method.loss(model, Batch(x[:0], y[:0], target_x=x, target_at=at), 0.0)
    label_loss = nn.functional.cross_entropy(model(x), y)
    torch.testing.assert_close(with_shots - without, label_loss)


def test_banks_hold_what_was_seen_last_and_of_an_item_twice_in_a_batch_the_first() -> None:
    method = Nrc()
    model, x = network(method), directions(0, 40, 80, 120)
    with stage_items(none(x), x) as items:
        method.begin(model, items, TASK)
        method.refresh(model, items, 0.0)
    torch.testing.assert_close(model.features_bank, x)
    seen = 3 * directions(10, 130, 170)
    method.loss(model, Batch(x[:0], NONE, target_x=seen, target_at=torch.tensor([0, 2, 2])), 0.0)
    torch.testing.assert_close(model.features_bank, directions(10, 40, 130, 120))
    expected = model.head(torch.cat([seen[:1], x[1:2], seen[1:2], x[3:]])).softmax(1)
    torch.testing.assert_close(model.predictions_bank, expected)
