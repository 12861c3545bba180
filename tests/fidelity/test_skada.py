"""Optimal transport, and features that are aligned before a classifier is fitted, against skada 0.6.0."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from bench.api import Backbone, ClosedFormMethod, Labelled, fit_logistic
from bench.methods.alignment.deep_jdot import DeepJdot
from bench.methods.shallow.coral import Coral
from bench.methods.shallow.jdot import Jdot
from bench.methods.shallow.ot_mapping import class_plan
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


def classes() -> tuple[Tensor, Tensor, Tensor]:
    """Source features, their classes, and target features, of which there are fewer."""
    y = torch.arange(21) % 3
    x = torch.randn(21, 4) + 2 * nn.functional.one_hot(y, 4)
    return x, y, torch.randn(15, 4) + 2 * nn.functional.one_hot(torch.arange(15) % 3, 4) + 0.5


def joined(x: Tensor, y: Tensor, target: Tensor) -> dict[str, object]:
    """Both domains as skada takes them: targets have a negative number and no label."""
    none = -torch.ones(len(target), dtype=torch.long)
    domain = torch.cat([torch.ones(len(x), dtype=torch.long), 2 * none])
    return {
        "X": torch.cat([x, target]).numpy(),
        "y": torch.cat([y, none]).numpy(),
        "sample_domain": domain.numpy(),
    }


@pytest.mark.parametrize(("entropic", "grouped"), [(1.0, 0.1), (0.5, 1.0), (2.0, 0.0)])
def test_ot_mapping(peer: Peer, entropic: float, grouped: float) -> None:
    x, y, target = classes()
    adapter = peer("skada").ClassRegularizerOTMappingAdapter(reg_e=entropic, reg_cl=grouped)
    theirs = torch.from_numpy(adapter.fit_transform(**joined(x, y, target)))[: len(x)]
    plan = class_plan(torch.cdist(x, target).square(), y, entropic, grouped)
    assert_near(plan @ target / plan.sum(1, keepdim=True), theirs, "transported features")


@pytest.mark.parametrize("rounds", [1, 4])
def test_jdot(peer: Peer, rounds: int) -> None:
    x, y, target = classes()
    base = LogisticRegression(C=2.0, tol=1e-12, max_iter=10_000)
    theirs = peer("skada").JDOTClassifier(base, alpha=0.5, n_iter_max=rounds, tol=0.0)
    theirs.fit(**joined(x, y, target))
    # Its ridge is of the sum of losses, ours relative to the variance and of their mean.
    l2 = 1 / (2.0 * len(target) * float(target.var(0, unbiased=False).sum()))
    labels = nn.functional.one_hot(y).to(x.dtype)
    weight, bias = Jdot(rounds=rounds).joint(x, labels, target, l2)
    ours = (target @ weight + bias).log_softmax(1)
    assert_near(ours, torch.from_numpy(theirs.estimator_.predict_log_proba(target.numpy())), "predictions")
