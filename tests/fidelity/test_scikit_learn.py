"""Heads that are fitted in closed form or to convergence against scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.api import Backbone, Batch, Episode, Labelled
from bench.methods.fewshot.r2d2 import R2d2
from bench.methods.finetuning.linear_probe import LinearProbe
from bench.methods.finetuning.lp_finetune import LpFinetune
from bench.methods.shallow.boosted_trees import BoostedTrees
from tests.fidelity.compare import FEATURES, TASK, assert_near
from tests.support.items import fit

Peer = Callable[[str], ModuleType]

ITEMS = 60
Y = torch.arange(ITEMS) % 4


def items() -> Labelled:
    """Items of four classes that overlap."""
    return Labelled(torch.randn(ITEMS, 5) + nn.functional.one_hot(Y, 5), Y, torch.arange(ITEMS))


def regression(peer: Peer, features: Tensor, l2: float) -> Any:
    """Their fit. It minimises C times the sum of cross-entropies, plus half the weights' squared norm."""
    strength = ITEMS * l2 * float(features.var(0, unbiased=False).sum())
    solver = peer("sklearn.linear_model").LogisticRegression(
        C=1 / strength, solver="newton-cg", tol=1e-12, max_iter=1000
    )
    return solver.fit(features.numpy(), Y.numpy())


@pytest.mark.parametrize("l2", [1.0, 0.01, 0.0])
def test_linear_probe(peer: Peer, l2: float) -> None:
    """With a strength that is given, and with one that cross-validation chooses."""
    method, data = LinearProbe(l2=l2), items()
    model = method.build(Backbone(nn.Identity(), 5, []), TASK)
    chosen = fit(method, model, data, TASK)["l2"]
    theirs = torch.from_numpy(regression(peer, data.x, chosen).predict_log_proba(data.x.numpy()))
    assert_near(model(data.x).detach().log_softmax(1), theirs, "log-probabilities")


def test_lp_finetune(peer: Peer) -> None:
    """The probe, and the loss that trains on from there with its gradient below the head."""
    method, data = LpFinetune(), items()
    backbone = nn.Linear(5, FEATURES, bias=False)
    model = method.build(Backbone(backbone, FEATURES, []), TASK)
    l2 = fit(method, model, data, TASK)["l2"]
    loss = method.loss(model, Batch(data.x, Y), 0.0)
    (gradient,) = torch.autograd.grad(loss, [backbone.weight])

    features = model.features(data.x).detach()
    theirs = regression(peer, features, l2)
    p = torch.from_numpy(theirs.predict_proba(features.numpy()))
    value = peer("sklearn.metrics").log_loss(Y.numpy(), p.numpy())
    assert_near(loss.detach(), torch.tensor(value), "value")
    slope = (p - nn.functional.one_hot(Y, 4)) / ITEMS @ torch.from_numpy(theirs.coef_)
    assert_near(gradient, slope.T @ data.x, "gradient of backbone")


def test_r2d2(peer: Peer) -> None:
    """Their regression cannot be differentiated: its gradient is one of differences."""
    method, episode = R2d2(ridge=0.4), Episode(way=3, support=2, query=2)
    model = method.build(Backbone(nn.Identity(), 5, []), TASK)
    ways, (alpha, beta) = torch.arange(3), (1.3, 0.2)
    model.alpha.data.fill_(alpha)
    model.beta.data.fill_(beta)
    y = torch.cat([ways.repeat_interleave(2), ways.repeat_interleave(2)])
    x = torch.randn(12, 5)
    targets = nn.functional.one_hot(y[:6], 3).to(x).numpy()

    def theirs(x: Tensor, ridge: float = 0.4) -> Tensor:
        solver = peer("sklearn.linear_model").Ridge(alpha=ridge, fit_intercept=False, solver="cholesky")
        logits = alpha * solver.fit(x[:6].numpy(), targets).predict(x[6:].numpy()) + beta
        return nn.functional.cross_entropy(torch.from_numpy(logits), y[6:])

    loss = method.loss(model, Batch(x.requires_grad_(), y, episode=episode), 0.0)
    of_x, of_ridge = torch.autograd.grad(loss, [x, model.log_ridge])
    x = x.detach()
    assert_near(loss.detach(), theirs(x), "value")
    steps = 1e-5 * torch.eye(x.numel()).view(-1, *x.shape)
    slopes = torch.stack([(theirs(x + step) - theirs(x - step)) / 2e-5 for step in steps])
    assert_near(of_x, slopes.view_as(x), "gradient of x")
    # By the logarithm of the strength.
    slope = 0.4 * (theirs(x, 0.4 + 1e-5) - theirs(x, 0.4 - 1e-5)) / 2e-5
    assert_near(of_ridge, slope, "gradient of ridge")


@pytest.mark.parametrize("classes", [2, 4])
def test_boosted_trees(peer: Peer, classes: int) -> None:
    """With the method's defaults: a rate of 0.1, 100 trees."""
    x, y = torch.randn(200, 5, dtype=torch.float32), torch.arange(200) % classes
    x[:, 0] += y
    task = replace(TASK, classes=tuple(map(str, range(classes))))
    method = BoostedTrees()
    model = method.build(Backbone(nn.Identity(), 5, []), task)
    fit(method, model, Labelled(x, y, torch.arange(200)), task)
    theirs = peer("sklearn.ensemble").HistGradientBoostingClassifier(early_stopping=False)
    unseen = torch.randn(100, 5, dtype=torch.float32)
    logits, _ = method.predict(model, unseen)
    expected = torch.from_numpy(theirs.fit(x.numpy(), y.numpy()).predict_proba(unseen.numpy()))
    assert_near(logits.softmax(1), expected, "probabilities")
