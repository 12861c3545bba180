"""Reptile's way back from adapted weights against learn2learn 0.2.0."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import torch
from torch import nn

from bench.api import Backbone, Batch, Episode, prototype_head, prototypes
from bench.methods.metalearning.reptile import Reptile
from tests.fidelity.compare import FEATURES, TASK, assert_near

Peer = Callable[[str], ModuleType]


def test_reptile(peer: Peer) -> None:
    """The gradient is (start - end) / rate, the end where they adapt to, on both halves in turn."""
    method, episode = Reptile(inner_steps=3, inner_rate=0.3, width=7), Episode(way=3, support=2, query=2)
    model = method.build(Backbone(nn.Linear(5, FEATURES), FEATURES, []), TASK)
    y, x = torch.arange(3).repeat_interleave(2).repeat(2), torch.randn(12, 5)
    names = [name for name, _ in model.named_parameters() if not name.startswith("head.")]
    loss = method.loss(model, Batch(x, y, episode=episode), 0.0)
    slopes = torch.autograd.grad(loss, [model.get_parameter(name) for name in names])

    learner = peer("learn2learn").algorithms.MAML(model, lr=0.3, first_order=True).clone()
    weight, bias = prototype_head(prototypes(model.features(x[:6]), y[:6], 3), method.scale)
    # A clone's parameters are tensors with a history, which only the dictionary itself takes.
    learner.module.head._parameters.update(weight=weight, bias=bias)
    for half in (slice(6), slice(6, 12), slice(6)):
        learner.adapt(nn.functional.cross_entropy(learner(x[half]), y[half]))
    ends = dict(learner.module.named_parameters())
    for name, slope in zip(names, slopes, strict=True):
        assert_near(slope, ((model.get_parameter(name) - ends[name]) / 0.3).detach(), name)
