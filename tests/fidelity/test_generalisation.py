"""Methods for several sources, against small cases of their papers' equations, computed by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from bench.api import (
    Backbone,
    Batch,
    CellSkipped,
    GeneralisationMethod,
    Labelled,
    Model,
    Side,
    Task,
    UserError,
)
from bench.methods.finetuning.full_finetune import FullFinetune
from bench.methods.generalisation.best_single import BestSingle, accuracy_elsewhere
from bench.methods.generalisation.coral_dg import CoralDg, moments
from bench.methods.generalisation.group_dro import GroupDro
from bench.methods.generalisation.irm import Irm, scale_gradient
from bench.methods.generalisation.mixstyle import Mixstyle, restyled
from bench.methods.generalisation.mixup import Mixup, mixed
from bench.methods.generalisation.pooled import Pooled
from bench.methods.generalisation.swad import PARTS, Swad, valley
from bench.methods.generalisation.vrex import Vrex
from tests.support.items import stage_items

TASK = Task("source", ("a", "b"), 4, seed=0)
LOG3, LOG4 = math.log(3), math.log(4)
LOW = math.log(4 / 3)
"""Cross-entropy of logits (log 3, 0), of probabilities 3/4, 1/4, by the first class; `LOG4` by the other."""


def side(y: Sequence[int]) -> Side:
    """A source whose items all have the logits (log 3, 0)."""
    return Side(nn.Identity(), torch.tensor([[LOG3, 0.0]] * len(y)), torch.tensor(y))


def plain(method: GeneralisationMethod, domains: Sequence[int] = (0, 1, 0, 1)) -> Model:
    """Network that hands its input on, about to train on items of these sources."""
    model = method.build(Backbone(nn.Identity(), 2, []), TASK)
    y = torch.arange(len(domains)) % 2
    x = torch.tensor([[float(label), 0.0] for label in y])
    data = Labelled(x, y, torch.arange(len(y), dtype=torch.int32))
    with stage_items(data, domain=torch.tensor(domains)) as items:
        method.begin(model, items, TASK)
    model.head = nn.Identity()
    return model


BATCH = Batch(
    torch.tensor([[LOG3, 0.0]] * 4, dtype=torch.float64),
    torch.tensor([1, 0, 1, 0]),
    domain=torch.tensor([0, 1, 0, 1]),
)
"""Two sources: the risk of the first is `LOG4`, of the second `LOW`."""


def test_group_dro_by_hand() -> None:
    """Weights (1/2, 1/2) grow by factors exp(log 4) and exp(log 4/3): (2, 2/3), that is (3/4, 1/4)."""
    method = GroupDro(step=1.0)
    model = plain(method)
    loss = method.loss(model, BATCH, 0.5)
    torch.testing.assert_close(loss, torch.tensor(3 / 4 * LOG4 + 1 / 4 * LOW))
    assert method.report(model)["source weights"] == pytest.approx([3 / 4, 1 / 4])
    # (3/4 · 4, 1/4 · 4/3) = (3, 1/3).
    torch.testing.assert_close(method.loss(model, BATCH, 0.5), torch.tensor(0.9 * LOG4 + 0.1 * LOW))


def test_vrex_by_hand() -> None:
    """The risks differ by log 3, so that each is log 3 / 2 from their mean."""
    method = Vrex()
    model = plain(method)
    mean = (LOG4 + LOW) / 2
    torch.testing.assert_close(method.loss(model, BATCH, 0.5), torch.tensor(mean + 10 * LOG3**2 / 4))
    torch.testing.assert_close(method.loss(model, BATCH, 0.05), torch.tensor(mean + LOG3**2 / 4))


def test_irm_by_hand() -> None:
    """sum (p - y) logit is 3/4 log 3 of an item of the second class, and -1/4 log 3 of one of the first."""
    method = Irm(weight=16.0)
    model = plain(method)
    penalty = ((3 / 4) ** 2 + (1 / 4) ** 2) / 2 * LOG3**2
    torch.testing.assert_close(method.loss(model, BATCH, 0.5), torch.tensor((LOG4 + LOW) / 2 + 16 * penalty))
    torch.testing.assert_close(
        scale_gradient(side([1, 0]).logits, torch.tensor([1, 0])), torch.tensor(-3 / 16 * LOG3**2)
    )


def test_irm_takes_the_derivative_by_a_scale() -> None:
    logits, y, scale = torch.randn(3, 5), torch.tensor([0, 4, 2]), torch.ones((), requires_grad=True)
    (slope,) = torch.autograd.grad(nn.functional.cross_entropy(scale * logits, y), scale)
    # Both halves alike, so that their product is the square.
    twice = scale_gradient(logits.repeat_interleave(2, 0), y.repeat_interleave(2))
    torch.testing.assert_close(twice, slope.square())


def test_coral_between_sources_by_hand() -> None:
    """Means (1, 0) and (0, 2), covariances diag(2, 0) and diag(0, 2): (1 + 4) / 2 + (4 + 4) / 4."""
    one, other = torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 3.0]])
    torch.testing.assert_close(moments(one, other), torch.tensor(4.5))
    method = CoralDg(weight=2.0)
    model = plain(method)
    y = torch.zeros(6, dtype=torch.long)
    three = Batch(torch.cat([one, other, one]), y, domain=torch.tensor([0, 0, 1, 1, 2, 2]))
    risk = nn.functional.cross_entropy(three.x, y)
    # The pairs are 4.5, 0 and 4.5 apart.
    torch.testing.assert_close(method.loss(model, three, 0.5), risk + 2.0 * 3.0)


def test_best_single_by_hand() -> None:
    """By means 0 and 1 the value 0.2, of the second class, is of the first; by 0.1 and 0.2 none is wrong."""
    features, y = torch.tensor([[0.0], [1.0], [0.1], [0.2]]), torch.tensor([0, 1, 0, 1])
    found = accuracy_elsewhere(features, y, torch.tensor([0, 0, 1, 1]), 2)
    assert found.tolist() == [0.5, 1.0]
    method = BestSingle()
    model = plain(method)
    model.elsewhere = found
    torch.testing.assert_close(method.loss(model, BATCH, 0.5), torch.tensor(LOW))
    assert method.report(model) == {"accuracy on the other sources": [0.5, 1.0]}


def test_a_class_that_a_source_lacks_is_not_predicted() -> None:
    features, y = torch.tensor([[0.0], [0.1], [0.2]]), torch.tensor([0, 0, 1])
    assert accuracy_elsewhere(features, y, torch.tensor([0, 1, 1]), 2).tolist() == [0.5, 1.0]


def test_pooled_by_hand() -> None:
    """The mean over all items, whatever source they are of."""
    method = Pooled()
    model = method.build(Backbone(nn.Identity(), 2, []), TASK)
    model.head = nn.Identity()
    torch.testing.assert_close(method.loss(model, BATCH, 0.5), torch.tensor((LOG4 + LOW) / 2))
    assert method.loss(model, BATCH, 0.5) == FullFinetune().loss(model, BATCH, 0.5)


def test_mixup_by_hand() -> None:
    logits = torch.tensor([[LOG3, 0.0]])
    loss = mixed(logits, torch.tensor([1]), torch.tensor([0]), 0.25)
    torch.testing.assert_close(loss, torch.tensor(0.25 * LOG4 + 0.75 * LOW))


def test_mixup_mixes_images_as_it_mixes_labels() -> None:
    """Images that are their labels: a network that hands them on sees the share that the loss has."""
    seen: list[Tensor] = []
    model = Model(nn.Identity(), nn.Identity())
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    batch = Batch(torch.eye(2), torch.tensor([0, 1]))
    for seed in range(8):
        torch.manual_seed(seed)
        loss = Mixup(alpha=1.0).loss(model, batch, 0.5)
        # Soft labels are the mixed images themselves.
        torch.testing.assert_close(loss, nn.functional.cross_entropy(seen[-1], seen[-1]))
    assert any(0 < float(x[0, 1]) < 1 for x in seen)
    Mixup(alpha=0.0).loss(model, batch, 0.5)
    assert torch.equal(seen[-1], batch.x)


def test_mixstyle_by_hand() -> None:
    """Values 0, 2 (mean 1, variance 2) half-way to the style of 10, 14 (mean 12, variance 8).

    The mean becomes 6.5, the deviation (√2 + √8) / 2 = 1.5 √2; the values are 1 / √2 deviations off.
    """
    x = torch.tensor([[[0.0, 2.0]], [[10.0, 14.0]]], dtype=torch.float64)
    found = restyled(x, torch.tensor([1, 0]), torch.tensor([0.5, 1.0], dtype=torch.float64))
    expected = torch.tensor([[[5.0, 8.0]], [[10.0, 14.0]]], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 3, 5, 5), (4, 5, 5, 3), (4, 25, 3)])
def test_mixstyle_changes_styles_while_training_alone(shape: tuple[int, ...]) -> None:
    net = nn.Sequential(nn.Identity(), nn.Flatten())
    model = Mixstyle(probability=1.0).build(Backbone(net, 75, ["0"], {"0": 3}), TASK)
    x = torch.randn(shape)
    assert torch.equal(model.eval().features(x), x.flatten(1))
    assert not torch.allclose(model.train().features(x), x.flatten(1))
    plain = nn.Sequential(nn.Identity(), nn.Flatten())
    off = Mixstyle(probability=0.0).build(Backbone(plain, 75, ["0"], {"0": 3}), TASK)
    assert torch.equal(off.train().features(x), x.flatten(1))


@pytest.mark.parametrize("shape", [(4, 3, 1, 1), (4, 1, 3), (4, 3)])
def test_mixstyle_of_one_position_is_none(shape: tuple[int, ...]) -> None:
    """One value has no deviation: not a number would be the answer."""
    net = nn.Sequential(nn.Identity(), nn.Flatten())
    model = Mixstyle(probability=1.0).build(Backbone(net, 3, ["0"], {"0": 3}), TASK)
    with pytest.raises(CellSkipped, match=r"features of this network have (1|none)$"):
        model.train().features(torch.randn(shape))


def test_swad_by_hand() -> None:
    """3 is the least of three in a row, after the third part; the last six exceed 1.3 (3 + 3.1 + 3.2) / 3."""
    losses = [5.0, 4.0, 3.0, 3.1, 3.2, *[4.1] * 6]
    assert valley(losses, 1.3) == (2, 4)
    assert valley(losses[:-1], 1.3) == (2, 10), "five are too few"
    assert valley([3.0, 2.0, 1.0], 1.3) == (0, 3), "it falls to the end: all steps count"
    assert valley([], 1.3) == (0, 0)


def test_swad_averages_the_steps_of_the_valley() -> None:
    """Weights count steps: with losses as above the average is over parts 2 to 4, which are steps 5 to 10."""
    method, model = Swad(), Model(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    data = Labelled(torch.zeros(2, 1), torch.tensor([0, 0]), torch.zeros(2, dtype=torch.int32))
    with stage_items(data) as items, torch.no_grad():
        method.begin(model, items, TASK)
        for step in range(1, 2 * PARTS + 1):
            model.backbone.weight.fill_(step)
            method.after_step(model, step / (2 * PARTS))
            if step % 2 == 0 and step < 2 * PARTS:
                method.on_validation(model, data, step / (2 * PARTS))
        assert model.losses.isfinite().sum() == PARTS - 1
        cast(Tensor, model.losses)[: PARTS - 1] = torch.tensor([5.0, 4.0, 3.0, 3.1, 3.2, *[4.1] * 6])
        method.finish(model, items, TASK)
    assert float(model.backbone.weight.detach()) == pytest.approx(sum(range(5, 11)) / 6)


def test_shots_have_one_domain() -> None:
    """Where a stage has no sources to tell apart, the loss is the usual one."""
    batch = Batch(BATCH.x, BATCH.y)
    for method in (GroupDro(), Irm(), Vrex(), CoralDg(), BestSingle()):
        torch.testing.assert_close(method.loss(plain(method), batch, 0.5), torch.tensor((LOG4 + LOW) / 2))


def test_batches_that_are_too_small() -> None:
    plain(Irm(), (0, 1, 1, 0))
    with pytest.raises(UserError, match=r"batches of 4 have no room for 2 of each of 3 sources"):
        plain(Irm(), (0, 1, 2))
    plain(Vrex(), (0, 1, 2))
