"""Rates by layer and averages of weights against timm."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import nn

from bench.api import Backbone, Labelled, Model, ParameterGroups
from bench.methods.finetuning.layer_decay import LayerDecay
from bench.methods.finetuning.wise_ft import WiseFt
from bench.methods.selftraining.mean_teacher import MeanTeacher
from bench.networks.backbones.create import create_backbone
from tests.fidelity.compare import FEATURES, TASK, assert_near
from tests.support.items import stage_items

Peer = Callable[[str], ModuleType]


def test_layer_decay(peer: Peer) -> None:
    """Theirs by stages too, where it counts blocks by default."""
    method = LayerDecay(learning_rate=0.1, decay=0.6, weight_decay=0.2)
    model = method.build(create_backbone("test_resnet.untrained", 64), TASK)
    net = peer("timm").create_model("test_resnet", num_classes=len(TASK.classes))
    matcher = net.group_matcher
    net.group_matcher = lambda coarse: matcher(coarse=True)
    groups = peer("timm.optim").param_groups_layer_decay(net, weight_decay=0.2, layer_decay=0.6)
    theirs = options([{**group, "lr": 0.1 * group["lr_scale"]} for group in groups], net)
    assert len({rate for rate, _ in theirs.values()}) > 4
    ours = options(method.trainable(model), model)
    for name, expected in theirs.items():
        mine = ours.pop(name.replace("fc.", "head.") if name.startswith("fc.") else f"backbone.net.{name}")
        assert mine == pytest.approx(expected), name
    assert not ours


def options(groups: ParameterGroups, net: nn.Module) -> dict[str, tuple[float, float]]:
    """Rate and weight decay of each parameter."""
    names = {id(p): name for name, p in net.named_parameters()}
    return {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


@pytest.mark.parametrize("mix", [0.5, 0.2])
def test_wise_ft(peer: Peer, mix: float) -> None:
    """The mean of two networks is one step of a moving average from the one towards the other."""
    method = WiseFt(mix=mix)
    model = method.build(Backbone(nn.Linear(5, FEATURES), FEATURES, []), TASK)
    theirs = peer("timm.utils").ModelEmaV3(model, decay=1 - mix)
    with stage_items(Labelled(torch.randn(4, 5), torch.arange(4), torch.arange(4))) as items:
        method.begin(model, items, TASK)
        for parameter in model.parameters():
            nn.init.normal_(parameter)
        theirs.update(model)
        method.finish(model, items, TASK)
    for (name, mine), other in zip(model.named_parameters(), theirs.module.parameters(), strict=True):
        assert_near(mine.detach(), other.detach(), name)


def test_mean_teacher(peer: Peer) -> None:
    """A moving average with a constant share, which ours has after its first steps."""
    method = MeanTeacher(decay=0.9)
    model = method.build(Backbone(nn.Linear(5, FEATURES), FEATURES, []), TASK)
    student = Model(model.backbone, model.head)
    theirs = peer("timm.utils").ModelEmaV3(student, decay=0.9)
    model.teacher.steps.fill_(100)
    for _ in range(3):
        for parameter in student.parameters():
            nn.init.normal_(parameter)
        theirs.update(student)
        method.after_step(model, 0.5)
    for (name, mine), other in zip(model.teacher.named_parameters(), theirs.module.parameters(), strict=True):
        assert_near(mine.detach(), other.detach(), name)
