"""Continual methods: penalties, distillation, memories and shares by hand."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import Tensor, nn

from bench.api import Backbone, Batch, Importance, Labelled, Memory, Model, Task, fisher_diagonal
from bench.methods.continual.der import Dark, Der
from bench.methods.continual.ewc import Ewc, weights
from bench.methods.continual.joint import Joint
from bench.methods.continual.lwf import Lwf, Student, distillation
from bench.methods.continual.naive import Naive
from bench.methods.continual.replay import Replay
from tests.support.items import stage_items

FIRST = Task("task-1", ("a", "b"), 2, seed=0)
SECOND = Task("task-2", ("a", "b"), 2, seed=0, place=1)
X, Y = torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1])
BATCH = Batch(X, Y)


def backbone() -> Backbone:
    """One feature, twice the input."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 2.0)
    return Backbone(layer, 1, [], {})


def with_head(model: Model, weight: float = 0.0) -> Model:
    """Logits (weight · feature, 0)."""
    with torch.no_grad():
        cast(nn.Linear, model.head).weight.copy_(torch.tensor([[weight], [0.0]]))
        cast(nn.Linear, model.head).bias.zero_()
    return model


def data(x: Tensor = X, y: Tensor = Y) -> Labelled:
    return Labelled(x, y, torch.arange(len(x)))


def test_naive_is_cross_entropy_of_the_task_by_hand() -> None:
    """Equal logits for two classes: ln 2."""
    model = with_head(Naive().build(backbone(), FIRST))
    assert Naive().loss(model, BATCH, 0.0).item() == pytest.approx(0.693147, abs=1e-6)


def test_joint_gives_each_task_an_equal_share_by_hand() -> None:
    """In the third of three tasks: a third of the new one's loss, two thirds of the others'.

    Logits (2, 0) of x = 1: a loss of ln(1 + e^-2) = 0.126928 for class 0, of 2.126928 for class 1.
    """
    method = Joint()
    model = with_head(method.build(backbone(), FIRST), 1.0)
    with stage_items(data()) as items:
        method.begin(model, items, Task("task-3", ("a", "b"), 2, seed=0, place=2))
    batch = Batch(X[:1], torch.tensor([0]), source_x=X[:1], source_y=torch.tensor([1]))
    expected = 0.126928 / 3 + 2 * 2.126928 / 3
    assert method.loss(model, batch, 0.0).item() == pytest.approx(expected, abs=1e-5)
    assert method.loss(model, Batch(X[:1], torch.tensor([0])), 0.0).item() == pytest.approx(
        0.126928, abs=1e-5
    )


def test_fisher_information_by_hand() -> None:
    """Head (0, 0) on features 2 and -2: p = 1/2, so each gradient is 2 (p - y) = ±1, its square 1."""
    model = with_head(Ewc().build(backbone(), FIRST))
    pairs = [(x[None], y) for x, y in zip(X, Y, strict=True)]
    layer, weight, bias = fisher_diagonal(model, weights(model), pairs)
    torch.testing.assert_close(layer, torch.zeros(1, 1))
    torch.testing.assert_close(weight, torch.ones(2, 1))
    torch.testing.assert_close(bias, torch.full((2,), 0.25))


def test_ewc_pulls_by_importance_by_hand() -> None:
    """Weights 1 and 3 of importance 2 and 1, at 4: gradient λ (2 (4 - 1) + (4 - 3)) = 7 λ."""
    weight = nn.Parameter(torch.tensor([1.0]))
    kept = Importance([weight])
    for value, fisher in ((1.0, 2.0), (3.0, 1.0)):
        weight.data.fill_(value)
        kept.add([weight], [torch.tensor([fisher])])
    weight.data.fill_(4.0)
    method = Ewc(strength=10.0)
    (method.strength / 2 * kept.penalty([weight])).backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(70.0, rel=1e-5)


def test_ewc_estimates_when_a_task_ends() -> None:
    method = Ewc()
    model = with_head(method.build(backbone(), FIRST))
    assert method.loss(model, BATCH, 0.0).item() == pytest.approx(0.693147, abs=1e-6)
    with stage_items(data()) as items:
        method.finish(model, items, FIRST)
    with_head(model, 0.5)
    plain = nn.functional.cross_entropy(model(X), Y).item()
    # Importance 1 of the head's first weight, which has moved by 1/2.
    assert method.loss(model, BATCH, 0.0).item() == pytest.approx(plain + 100 / 2 * 0.25, rel=1e-5)
    assert method.report(model) == {"bytes_kept": 2 * 5 * 4}


def test_distillation_by_hand() -> None:
    """Teacher's (2 ln 3, 0) at temperature 2 are 3/4 and 1/4; uniform answers cost ln 2 whatever they are.

    Answers (2 ln 3, 0) cost the entropy of (3/4, 1/4): 0.562335.
    """
    before = torch.tensor([[2 * 1.098612, 0.0]])
    assert distillation(torch.zeros(1, 2), before, 2.0).item() == pytest.approx(0.693147, abs=1e-6)
    assert distillation(before, before, 2.0).item() == pytest.approx(0.562335, abs=1e-6)


def test_lwf_distils_from_the_second_task_on() -> None:
    method = Lwf()
    model = cast(Student, with_head(method.build(backbone(), FIRST), 1.0))
    plain = nn.functional.cross_entropy(model(X), Y).item()
    with stage_items(data()) as items:
        method.begin(model, items, FIRST)
        assert method.loss(model, BATCH, 0.0).item() == pytest.approx(plain)
        method.finish(model, items, FIRST)
        method.begin(model, items, SECOND)
    with_head(model, 0.0)
    # Uniform answers: ln 2 for the labels, and ln 2 for what the teacher says.
    assert method.loss(model, BATCH, 0.0).item() == pytest.approx(2 * 0.693147, abs=1e-5)
    assert method.report(model) == {"bytes_kept": 5 * 4}
    assert len(list(model.parameters())) == 3, "the teacher is not trained"


def test_lwf_says_nothing_of_classes_that_come_later() -> None:
    method = Lwf()
    model = cast(Student, with_head(method.build(backbone(), FIRST), 1.0))
    with stage_items(data(X, torch.tensor([0, 0]))) as items:
        method.finish(model, items, FIRST)
        method.begin(model, items, SECOND)
    # A distribution over one class is certain, whatever is said of the other.
    plain = nn.functional.cross_entropy(model(X), Y).item()
    assert method.loss(model, BATCH, 0.0).item() == pytest.approx(plain)


def test_a_reservoir_is_a_uniform_sample() -> None:
    """Of ten rows three are kept, each in 30 % of cases."""
    torch.manual_seed(0)
    counts = torch.zeros(10)
    for _ in range(2000):
        memory = Memory(3)
        memory.offer(torch.arange(4)[:, None])
        memory.offer(torch.arange(4, 10)[:, None])
        counts[memory.rows[:, 0].long()] += 1
    assert len(memory) == 3
    # Four standard deviations of a binomial share.
    assert (counts / 2000 - 0.3).abs().max() < 4 * (0.3 * 0.7 / 2000) ** 0.5


def test_a_memory_gives_back_what_it_was_given() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(4, 3, 2, 2), torch.arange(4)
    memory = Memory(10)
    memory.offer(x, y)
    found, labels = memory.draw(9, (3, 2, 2), ())
    assert len(found) == 4
    torch.testing.assert_close(found, x[labels.long()])
    assert memory.bytes == 4 * (12 + 1) * 4
    other = Memory(10)
    other.load_state_dict(memory.state_dict())
    torch.testing.assert_close(other.rows, memory.rows)
    assert other.offered == 4


def test_replay_learns_kept_items_beside_new_ones_by_hand() -> None:
    """Kept is x = 1 of class 1, a loss of 2.126928 where logits are (2, 0); the new one costs 0.126928."""
    method = Replay(capacity=5)
    model = with_head(method.build(backbone(), FIRST), 1.0)
    with stage_items(data(X[:1], torch.tensor([1]))) as items:
        method.finish(model, items, FIRST)
    loss = method.loss(model, Batch(X[:1], torch.tensor([0])), 0.0)
    assert loss.item() == pytest.approx((0.126928 + 2.126928) / 2, abs=1e-5)
    assert method.report(model) == {"bytes_kept": 8}


def test_der_stays_near_what_was_said_by_hand() -> None:
    """Kept were logits (2, 0) of x = 1; said are now (0, 0): alpha times a mean square of 2."""
    method = Der(alpha=0.5)
    model = with_head(method.build(backbone(), FIRST), 1.0)
    batch = Batch(X[:1], torch.tensor([0]))
    assert method.loss(model, batch, 0.0).item() == pytest.approx(0.126928, abs=1e-5)
    assert not len(cast(Dark, model).memory)
    method.after_step(model, 0.0)
    with_head(model, 0.0)
    assert method.loss(model, batch, 0.0).item() == pytest.approx(0.693147 + 0.5 * 2.0, abs=1e-5)
    plus = Der(alpha=0.5, beta=2.0)
    assert plus.loss(model, batch, 0.0).item() == pytest.approx(3 * 0.693147 + 0.5 * 2.0, abs=1e-5)
