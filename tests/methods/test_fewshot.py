"""What holds for every method that is meta-trained on episodes."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import nn

from bench.api import Batch, Episode, EpisodicMethod, Task
from bench.method.registry import configure, load_method, method_modules
from bench.methods.fewshot.proto_net import ProtoNet
from bench.networks.backbones.base import Backbone
from bench.networks.backbones.create import create_backbone
from tests.support.cells import TINY

EPISODIC = sorted(name for name in method_modules() if issubclass(load_method(name), EpisodicMethod))
TASK = Task("source", ("a", "b", "c"), 12, seed=0)
EPISODE = Episode(way=3, support=2, query=2)


def episode_batch(*shape: int) -> Batch:
    y = torch.arange(3).repeat_interleave(2).repeat(2)
    return Batch(torch.randn(12, *shape), y, episode=EPISODE)


@pytest.mark.parametrize("name", EPISODIC)
def test_batch_norm_keeps_its_statistics(name: str) -> None:
    """Those of an episode's few classes are not those of all classes, on which the network is tested."""
    method = cast(EpisodicMethod, configure(name, {}))
    if reason := method.unavailable():
        pytest.skip(reason)
    torch.manual_seed(0)
    model = method.build(create_backbone(TINY), TASK).train()
    before = {key: buffer.clone() for key, buffer in model.named_buffers()}
    method.loss(model, episode_batch(3, 32, 32), 0.0).backward()
    assert any("running_mean" in key for key in before)
    assert all(torch.equal(buffer, before[key]) for key, buffer in model.named_buffers())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_a_query_is_not_helped_by_the_queries_beside_it() -> None:
    torch.manual_seed(0)
    method = ProtoNet()
    model = method.build(Backbone(nn.BatchNorm1d(5), 5, []), TASK).train()
    batch = episode_batch(5)
    support = EPISODE.learnt
    alone = [
        method.loss(
            model,
            Batch(
                torch.cat([batch.x[:support], batch.x[[place]]]),
                torch.cat([batch.y[:support], batch.y[[place]]]),
                episode=EPISODE,
            ),
            0.0,
        )
        for place in range(support, EPISODE.images)
    ]
    torch.testing.assert_close(method.loss(model, batch, 0.0), torch.stack(alone).mean())
