"""Nearest class means, learnt or not, against easyfsl 1.5.0. Its distances are no squares, as ours are."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from bench.api import Backbone, Batch, Episode, Labelled, Method, prototypes
from bench.methods.fewshot.meta_baseline import MetaBaseline
from bench.methods.fewshot.ncm import Ncm
from bench.methods.fewshot.proto_net import ProtoNet
from bench.methods.fewshot.simpleshot import Simpleshot
from bench.methods.fewshot.tim import Tim
from tests.fidelity.compare import TASK, assert_alike, assert_near
from tests.support.items import fit

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
    loss = nn.functional.cross_entropy(-0.3 * theirs(x[6:]).square(), y[6:])
    leaves = {"x": x, **dict(model.backbone.named_parameters())}
    assert_alike(method.loss(model, Batch(x, y, episode=episode), 0.0), loss, leaves)


def test_meta_baseline(peer: Peer) -> None:
    method, episode = MetaBaseline(factor=7.0), Episode(way=3, support=2, query=3)
    model = method.build(Backbone(nn.Linear(5, 4), 4, []), TASK)
    ways = torch.arange(3)
    y = torch.cat([ways.repeat_interleave(2), ways.repeat_interleave(3)])
    x = torch.randn(15, 5).requires_grad_()

    theirs = peer("easyfsl.methods").SimpleShot(model.backbone)
    theirs.process_support_set(x[:6], y[:6])
    loss = nn.functional.cross_entropy(model.head.factor * theirs(x[6:]), y[6:])
    leaves = {"x": x, **dict(model.named_parameters())}
    assert leaves["head.factor"].item() == 7.0
    assert_alike(method.loss(model, Batch(x, y, episode=episode), 0.0), loss, leaves)


@pytest.mark.parametrize("method", [Ncm(scale=0.3), Simpleshot(scale=0.3)], ids=["ncm", "simpleshot"])
def test_class_means(peer: Peer, method: Method) -> None:
    shots, y, queries = torch.randn(8, 5), torch.arange(8) % 4, torch.randn(6, 5).requires_grad_()
    model = method.build(Backbone(nn.Identity(), 5, []), TASK)
    fit(method, model, Labelled(shots, y, torch.arange(8)), TASK)

    normalised = isinstance(method, Simpleshot)
    theirs = peer("easyfsl.methods").PrototypicalNetworks(
        feature_centering=shots.mean(0) if normalised else None,
        feature_normalization=2.0 if normalised else None,
    )
    theirs.process_support_set(shots, y)
    truth = torch.arange(6) % 4
    ours, loss = (
        nn.functional.cross_entropy(logits, truth)
        for logits in (model(queries), -0.3 * theirs(queries).square())
    )
    assert_alike(ours, loss, {"queries": queries})


@pytest.mark.parametrize("label_weight", [0.1, 1.0])
def test_tim(peer: Peer, label_weight: float) -> None:
    """Prototypes after steps of Adam, by distances as in the paper where the peer has cosines."""

    class Distances(peer("easyfsl.methods").TIM):  # type: ignore[misc]
        def cosine_distance_to_prototypes(self, samples: Tensor) -> Tensor:
            return -torch.cdist(samples, self.prototypes).square() / 2

    shots, y, queries = torch.randn(8, 5), torch.arange(8) % 4, torch.randn(30, 5)
    theirs = Distances(
        fine_tuning_steps=20,
        fine_tuning_lr=0.01,
        cross_entropy_weight=label_weight,
        temperature=15.0,
        feature_normalization=2.0,
    )
    theirs.process_support_set(shots, y)
    theirs(queries)

    shots, queries = (nn.functional.normalize(x, dim=1) for x in (shots, queries))
    method = Tim(label_weight=label_weight, steps=20, step_size=0.01)
    start = prototypes(shots, y, 4)
    ours = method.moved(start, shots, y, queries)
    assert_near(ours, theirs.prototypes.detach(), "prototypes")
    assert (ours - start).norm() > 0.1
