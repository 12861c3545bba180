"""Optimal transport, and features that are aligned before a classifier is fitted, against skada 0.6.0."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.api import Backbone, ClosedFormMethod, Labelled, fit_logistic
from bench.methods.alignment.deep_jdot import DeepJdot
from bench.methods.shallow.coral import Coral
from bench.methods.shallow.subspace_alignment import SubspaceAlignment
from tests.fidelity.compare import FEATURES, TASK, assert_alike, assert_near, example
from tests.support.items import fit

Peer = Callable[[str], ModuleType]


@pytest.mark.parametrize(("alpha", "labels"), [(0.001, 1.0), (1.0, 1.0), (0.1, 0.01)])
def test_deep_jdot(peer: Peer, alpha: float, labels: float) -> None:
    case = example(DeepJdot(alpha=alpha, labels=labels))
    theirs = peer("skada.deep.losses").deepjdot_loss(
        case.source.y, case.target.logits, case.source.features, case.target.features, alpha, labels
    )
    assert_alike(case.ours(), theirs, case.leaves)


ITEMS = 40


def domains() -> tuple[Tensor, Tensor]:
    """Features of source and target, of different means and covariances, but of one total variance."""
    source, target = (torch.randn(ITEMS, FEATURES) @ torch.randn(FEATURES, FEATURES) for _ in range(2))
    return source, 3.0 + target * (source.var(0).sum() / target.var(0).sum()).sqrt()


def assert_classified_alike(method: ClosedFormMethod, adapter: Any, source: Tensor, target: Tensor) -> None:
    """The target has the logits of a head that is fitted to the features as the peer has adapted them."""
    y, groups = torch.arange(ITEMS) % len(TASK.classes), torch.arange(ITEMS)
    model = method.build(Backbone(nn.Identity(), FEATURES, []), TASK)
    fit(method, model, Labelled(source, y, groups), TASK, target)

    is_source = np.repeat([1, -2], ITEMS)
    adapted = adapter.fit_transform(torch.cat([source, target]).numpy(), sample_domain=is_source)
    of_source, of_target = torch.from_numpy(adapted).split(ITEMS)
    head = cast(nn.Linear, method.new_head(of_source.shape[1], TASK))
    fit_logistic(head, of_source, y, groups, TASK.seed)
    assert_near(model(target).detach(), head(of_target).detach(), "logits")


def test_coral(peer: Peer) -> None:
    """Theirs shrinks covariances (over N, not N - 1) towards a multiple of the identity, ours adds it."""
    source, target = domains()
    added = (ITEMS - 1) / ITEMS
    mean_variance = float(source.var(0, unbiased=False).mean())
    adapter = peer("skada").CORALAdapter(reg=added / (mean_variance + added))
    assert_classified_alike(Coral(), adapter, source, target)


@pytest.mark.parametrize("dimensions", [1, 3, FEATURES])
def test_subspace_alignment(peer: Peer, dimensions: int) -> None:
    adapter = peer("skada").SubspaceAlignmentAdapter(n_components=dimensions)
    assert_classified_alike(SubspaceAlignment(dimensions=dimensions), adapter, *domains())
