"""Losses on features and predictions against pytorch-adapt 0.0.83."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch

from bench.methods.alignment.afn import Afn
from bench.methods.alignment.bnm import Bnm
from bench.methods.alignment.bsp import Bsp
from bench.methods.alignment.dann import Dann
from bench.methods.alignment.deep_coral import DeepCoral
from bench.methods.alignment.mcc import Mcc
from bench.methods.sourcefree.shot import information_loss
from tests.fidelity.compare import assert_alike, example

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


def test_shot(peer: Peer) -> None:
    """Information maximisation alone: pseudo-labels have a cross-entropy like any others."""
    logits, layers = (3 * torch.randn(8, 4)).requires_grad_(), peer("pytorch_adapt.layers")
    theirs = layers.EntropyLoss()(logits) + layers.DiversityLoss()(logits)
    assert_alike(information_loss(logits.softmax(1)), theirs, {"logits": logits})
