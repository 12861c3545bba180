"""DELTA and Co-Tuning: their losses by hand, and what they keep of the pretrained network."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from bench.api import Backbone, Batch, CellSkipped, Labelled, Model, Task, stage_activations
from bench.methods.finetuning.co_tuning import CoTuning, relationship
from bench.methods.finetuning.delta import Delta, attention, channel_gains, map_distance
from bench.networks.backbones.create import create_backbone
from tests.support.cells import TINY, answer, assert_equal, tiny_cell
from tests.support.items import stage_items

TASK = Task("source", ("a", "b"), 4, seed=0)
LITE = "tf_efficientnet_lite0"


class Channels(nn.Module):
    """Two channels: the first carries the image's mean brightness, the second its negative fifth."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = nn.Conv2d(3, 2, 1, bias=False)
        with torch.no_grad():
            self.stage.weight.copy_(torch.tensor([1.0, -0.2]).view(2, 1, 1, 1).expand(2, 3, 1, 1) / 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.stage(x).mean((2, 3))
        return out


def channels() -> Backbone:
    return Backbone(Channels(), 2, ["stage"], {"stage": 2})


# DELTA -------------------------------------------------------------------------------------------------


def test_stage_activations_are_channels_first() -> None:
    torch.manual_seed(0)
    backbone, x = create_backbone(TINY).eval(), torch.randn(2, 3, 32, 32)
    features, maps = stage_activations(backbone, x)
    assert torch.equal(features, backbone(x))
    assert [m.shape[1] for m in maps] == list(backbone.widths.values())
    assert not any(module._forward_hooks for module in backbone.modules())


def test_map_distance_by_hand() -> None:
    """Two channels of weights 3/4 and 1/4, squared differences 1 and 4 on average: (3/4 + 4/4) · 2 / 2."""
    before = torch.zeros(2, 2, 2, 2)
    now = torch.stack([torch.ones(2, 2, 2), 2 * torch.ones(2, 2, 2)], 1)
    distance = map_distance(now, before, torch.tensor([0.75, 0.25]))
    assert distance.item() == pytest.approx(1.75)


def test_attention_by_hand() -> None:
    """Gains 1 and 3 are -1 and 1 standard deviations from their mean."""
    weights = attention(torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(weights, torch.tensor([-0.2, 0.2]).softmax(0))
    torch.testing.assert_close(attention(torch.zeros(4)), torch.full((4,), 0.25))


def test_gains_are_those_of_taking_a_channel_away() -> None:
    """For a loss that is nearly linear in each channel the first-order estimate is the difference itself."""
    torch.manual_seed(0)
    network = Model(channels(), nn.Linear(2, 2))
    cast(nn.Linear, network.head).weight.data.mul_(0.01)
    x, y = torch.randn(8, 3, 4, 4), torch.arange(8) % 2
    (gains,) = channel_gains(network, zip(x.clone().split(3), y.split(3), strict=True))

    def loss(without: int | None = None) -> Tensor:
        features, _ = stage_activations(cast(Backbone, network.backbone), x)
        kept = torch.tensor([float(channel != without) for channel in range(2)])
        return nn.functional.cross_entropy(network.head(features * kept), y, reduction="sum")

    taken = torch.stack([loss(0) - loss(), loss(1) - loss()]).detach()
    torch.testing.assert_close(gains, taken, rtol=0.02, atol=1e-5)


def test_delta_by_hand() -> None:
    """At the start the maps are those of the start; thereafter their distance pulls them back."""
    torch.manual_seed(0)
    method = Delta(alpha=2.0, beta=0.5)
    model = method.build(channels(), TASK)
    y = torch.arange(8) % 2
    x = torch.randn(8, 3, 4, 4) + 2 * y.view(8, 1, 1, 1)
    with stage_items(Labelled(x, y, torch.arange(len(x)))) as items:
        method.begin(model, items, TASK)
    weights = model.get_buffer("attention0")
    assert weights[0] > weights[1], "the brighter channel tells the classes"
    assert "attention0" not in model.state_dict()

    head = cast(nn.Linear, model.head)
    decay = 0.25 * (head.weight.square().sum() + head.bias.square().sum())
    plain = nn.functional.cross_entropy(model(x), y) + decay
    torch.testing.assert_close(method.loss(model, Batch(x, y), 0.0), plain)

    stage = cast(nn.Conv2d, cast(Channels, cast(Backbone, model.backbone).net).stage)
    with torch.no_grad():
        stage.weight[0] *= 1.5
    moved = (0.5 * x.mean(1)).square().mean()
    plain = nn.functional.cross_entropy(model(x), y) + decay
    torch.testing.assert_close(method.loss(model, Batch(x, y), 0.0), plain + 2.0 * weights[0] * moved)


def test_delta_stays_near_its_start() -> None:
    """The same steps, with and without the pull, on labels that say nothing."""
    distances = [moved_maps(alpha) for alpha in (0.0, 10.0)]
    assert distances[1] < 0.3 * distances[0]


def moved_maps(alpha: float) -> float:
    torch.manual_seed(0)
    method = Delta(alpha=alpha)
    model = method.build(create_backbone(TINY), TASK)
    x, y = torch.randn(16, 3, 32, 32), torch.arange(16) % 2
    with stage_items(Labelled(x, y, torch.arange(len(x)))) as items:
        method.begin(model, items, TASK)
    optimizer = torch.optim.SGD(method.trainable(model), lr=0.05)
    for _ in range(20):
        loss = method.loss(model.train(), Batch(x, y), 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        maps = [stage_activations(cast(Backbone, net), x)[1] for net in (model.backbone.train(), model.start)]
    return float(sum((now - before).square().mean() for now, before in zip(*maps, strict=True)))


# Co-Tuning ---------------------------------------------------------------------------------------------


def test_relationship_by_hand() -> None:
    """Means of probabilities, not probabilities of mean logits."""
    p = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]])
    found = relationship(p.log(), torch.tensor([1, 1, 0]), 2)
    torch.testing.assert_close(found, torch.tensor([[0.2, 0.8], [0.7, 0.3]]))


def test_co_tuning_by_hand() -> None:
    torch.manual_seed(0)
    method = CoTuning(weight=2.3, temperature=2.0)
    backbone = create_backbone(LITE)
    model = method.build(backbone, TASK)
    theirs = cast(nn.Module, model.pretrained_head)
    x, y = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 1, 0])
    with stage_items(Labelled(x, y, torch.arange(len(x)))) as items:
        method.begin(model, items, TASK)
    features = model.features(x)
    says = (theirs(features) / 2.0).softmax(1)
    expected = torch.stack([says[y == 0].mean(0), says[y == 1].mean(0)]).detach()
    torch.testing.assert_close(model.get_buffer("relationship"), expected)
    wanted = nn.functional.cross_entropy(model.head(features), y)
    wanted = wanted - 2.3 * (expected[y] * theirs(features).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(method.loss(model, Batch(x, y), 0.0), wanted)


def test_co_tuning_needs_the_pretrained_classifier() -> None:
    with pytest.raises(CellSkipped, match="without the classifier"):
        CoTuning().build(create_backbone(TINY), TASK)


def test_co_tuning_answers(tmp_path: Path) -> None:
    """A cell with a network that has its classifier, twice the same; the pretrained classifier learns on."""
    cell = tiny_cell("co-tuning", backbone=LITE)
    record, predictions = answer(cell, tmp_path / "one")
    assert record.outcome.status == "done", record.outcome.log
    assert record.cost.parameters_trained > 1000 * 1280
    again, same = answer(cell, tmp_path / "two")
    assert again.evaluations == record.evaluations
    assert_equal(same, predictions)
