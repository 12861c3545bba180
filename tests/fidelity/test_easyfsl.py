"""Prototypical networks against easyfsl 1.5.0."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import torch
from torch import nn

from bench.api import Backbone, Batch, Episode
from bench.methods.fewshot.proto_net import ProtoNet
from tests.fidelity.compare import TASK, assert_alike

Peer = Callable[[str], ModuleType]


def test_proto_net(peer: Peer) -> None:
    method, episode = ProtoNet(scale=0.3), Episode(way=3, support=2, query=3)
    # Without a bias, which distances do not see.
    model = method.build(Backbone(nn.Linear(5, 4, bias=False), 4, []), TASK)
    ways = torch.arange(3)
    y = torch.cat([ways.repeat_interleave(2), ways.repeat_interleave(3)])
    x = torch.randn(15, 5).requires_grad_()

    theirs = peer("easyfsl.methods").PrototypicalNetworks(model.backbone)
    theirs.process_support_set(x[:6], y[:6])
    # Its scores are distances; equation 1 of the paper, and we, take their squares.
    loss = nn.functional.cross_entropy(-0.3 * theirs(x[6:]).square(), y[6:])
    leaves = {"x": x, **dict(model.backbone.named_parameters())}
    assert_alike(method.loss(model, Batch(x, y, episode=episode), 0.0), loss, leaves)
