"""Optimal transport against skada 0.6.0."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from bench.methods.alignment.deep_jdot import DeepJdot
from bench.methods.shallow.jdot import Jdot
from bench.methods.shallow.ot_mapping import class_plan
from tests.fidelity.compare import assert_alike, assert_near, example

Peer = Callable[[str], ModuleType]


@pytest.mark.parametrize(("alpha", "labels"), [(0.001, 1.0), (1.0, 1.0), (0.1, 0.01)])
def test_deep_jdot(peer: Peer, alpha: float, labels: float) -> None:
    case = example(DeepJdot(alpha=alpha, labels=labels))
    theirs = peer("skada.deep.losses").deepjdot_loss(
        case.source.y, case.target.logits, case.source.features, case.target.features, alpha, labels
    )
    assert_alike(case.ours(), theirs, case.leaves)


def domains() -> tuple[Tensor, Tensor, Tensor]:
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
    x, y, target = domains()
    adapter = peer("skada").ClassRegularizerOTMappingAdapter(reg_e=entropic, reg_cl=grouped)
    theirs = torch.from_numpy(adapter.fit_transform(**joined(x, y, target)))[: len(x)]
    plan = class_plan(torch.cdist(x, target).square(), y, entropic, grouped)
    assert_near(plan @ target / plan.sum(1, keepdim=True), theirs, "transported features")


@pytest.mark.parametrize("rounds", [1, 4])
def test_jdot(peer: Peer, rounds: int) -> None:
    x, y, target = domains()
    base = LogisticRegression(C=2.0, tol=1e-12, max_iter=10_000)
    theirs = peer("skada").JDOTClassifier(
        base.set_fit_request(sample_weight=True), alpha=0.5, n_iter_max=rounds, tol=0.0
    )
    theirs.fit(**joined(x, y, target))
    # Its ridge is of the sum of losses, ours relative to the variance and of their mean.
    l2 = 1 / (2.0 * len(target) * float(target.var(0, unbiased=False).sum()))
    labels = nn.functional.one_hot(y).to(x.dtype)
    weight, bias = Jdot(rounds=rounds).joint(x, labels, target, l2)
    ours = (target @ weight + bias).log_softmax(1)
    assert_near(ours, torch.from_numpy(theirs.estimator_.predict_log_proba(target.numpy())), "predictions")
