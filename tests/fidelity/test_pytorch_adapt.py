"""Losses on features and predictions, and adaptive batch norm, against pytorch-adapt 0.0.83."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import nn

from bench.api import Backbone, Labelled
from bench.methods.alignment.afn import Afn
from bench.methods.alignment.bnm import Bnm
from bench.methods.alignment.bsp import Bsp
from bench.methods.alignment.dann import Dann
from bench.methods.alignment.deep_coral import DeepCoral
from bench.methods.alignment.mcc import Mcc
from bench.methods.selftraining.mme import Mme
from bench.methods.sourcefree.shot import information_loss
from bench.methods.testtime.adabn import Adabn
from bench.methods.testtime.tent import Tent
from tests.fidelity.compare import FEATURES, TASK, assert_alike, assert_near, example
from tests.support.items import stage_items

Peer = Callable[[str], ModuleType]


@pytest.mark.parametrize("delta", [1.0, 0.3])
def test_afn(peer: Peer, delta: float) -> None:
    case = example(Afn(delta=delta))
    theirs = peer("pytorch_adapt.layers").AdaptiveFeatureNorm(step_size=delta)
    assert_alike(case.ours(), theirs(case.source.features) + theirs(case.target.features), case.leaves)


@pytest.mark.parametrize("items", [3, 8])
def test_bnm(peer: Peer, items: int) -> None:
    case = example(Bnm(), items)
    assert_alike(case.ours(), peer("pytorch_adapt.layers").BNMLoss()(case.target.logits), case.leaves)


def test_bsp(peer: Peer) -> None:
    """The penalty beside DANN's loss, which is compared with another peer's."""
    case = example(Bsp(hidden=5, penalty=0.2))
    theirs = peer("pytorch_adapt.layers").BatchSpectralLoss(k=1)
    spectrum = theirs(case.source.features) + theirs(case.target.features)
    adversarial = Dann(hidden=5).align(case.model, case.source, case.target, 0.3)
    assert_alike(case.ours(0.3), adversarial + 0.2 * spectrum, case.leaves)


@pytest.mark.parametrize("items", [2, 8])
def test_deep_coral(peer: Peer, items: int) -> None:
    case = example(DeepCoral(), items)
    theirs = peer("pytorch_adapt.layers").CORALLoss()
    assert_alike(case.ours(), theirs(case.source.features, case.target.features), case.leaves)


@pytest.mark.parametrize("temperature", [2.5, 1.0])
def test_mcc(peer: Peer, temperature: float) -> None:
    case = example(Mcc(temperature=temperature))
    assert_alike(
        case.ours(), peer("pytorch_adapt.layers").MCCLoss(T=temperature)(case.target.logits), case.leaves
    )


def test_mme(peer: Peer) -> None:
    """The classifier maximises the entropy of the target, features minimise it."""
    case, layers = example(Mme(temperature=0.3)), peer("pytorch_adapt.layers")
    logits = case.model.head(layers.GradientReversal(1.0)(case.target.features))
    assert_alike(case.ours(), -layers.EntropyLoss()(logits), case.leaves)


SCALES = ("1.weight", "1.bias", "3.1.weight", "3.1.bias")
"""Parameters of batch norm in the network below."""


def network() -> nn.Module:
    """Small images -> features, by two layers of batch norm with weights of their own."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(4, FEATURES, 1), nn.BatchNorm2d(FEATURES)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    return net


def test_adabn(peer: Peer) -> None:
    """Theirs moves the target's statistics on as batch norm does: here by plain means, as ours does."""
    net, target = network(), 2.0 + 3.0 * torch.randn(600, 3, 5, 5)
    theirs = peer("pytorch_adapt.layers.adabn_model").AdaBNModel(copy.deepcopy(net))
    domain = torch.tensor([1])
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        for x in target.split(256):
            theirs(x, domain)
    theirs.eval()

    method = Adabn()
    model = method.build(Backbone(net, FEATURES, []), TASK)
    source = Labelled(torch.randn(8, 3, 5, 5), torch.arange(8) % 4, torch.arange(8))
    before = model.eval().features(source.x).detach()
    with stage_items(source, target) as items:
        method.finish(model, items, TASK)
    after = model.eval().features(source.x).detach()
    assert_near(after, theirs(source.x, domain).detach(), "features")
    assert not torch.allclose(before, after)


def test_tent(peer: Peer) -> None:
    """Each batch is predicted by what steps on the ones before have made of scales and shifts."""
    method = Tent(step_size=0.1)
    model = method.build(Backbone(network(), FEATURES, []), TASK).eval()
    theirs = copy.deepcopy(model).train()
    moved = [theirs.get_parameter(f"backbone.net.{name}") for name in SCALES]
    optimizer, loss = torch.optim.Adam(moved, lr=0.1), peer("pytorch_adapt.layers").EntropyLoss()
    batches = [*torch.randn(24, 3, 5, 5).split(8)]
    for x, (logits, _) in zip(batches, method.stream(model, iter(batches)), strict=True):
        expected = theirs(x)
        assert_near(logits.detach(), expected.detach(), "logits")
        optimizer.zero_grad()
        loss(expected).backward()
        optimizer.step()


def test_shot(peer: Peer) -> None:
    """Information maximisation alone: pseudo-labels have a cross-entropy like any others."""
    logits, layers = (3 * torch.randn(8, 4)).requires_grad_(), peer("pytorch_adapt.layers")
    theirs = layers.EntropyLoss()(logits) + layers.DiversityLoss()(logits)
    assert_alike(information_loss(logits.softmax(1)), theirs, {"logits": logits})
