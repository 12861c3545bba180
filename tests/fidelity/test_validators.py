"""Validators against pytorch-adapt 0.0.83, skada 0.6.0 and scikit-learn, on the same outputs.

They agree to 1e-6, up to factors that are the same for every model of as many images and classes: these
change no choice, and the papers' texts decide which to use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import sklearn
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import cross_entropy

from bench.engine.evaluation.discrepancy import L2, domain_scores, mmd
from bench.engine.evaluation.validators import (
    Outputs,
    deep_embedded_validation,
    entropy,
    label_free,
    rank_me,
    soft_neighbourhood_density,
)

Peer = Callable[[str], ModuleType]
CLASSES, WIDTH = 4, 5
near = pytest.approx


@pytest.fixture
def validators(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """pytorch-adapt's, one of which, not compared here, imports what pytorch-metric-learning 2 lacks."""
    metrics = peer("pytorch_metric_learning.utils.accuracy_calculator")
    monkeypatch.setattr(metrics, "zero_accuracy", None, raising=False)
    return peer("pytorch_adapt.validators")


def outputs(items: int, shift: float = 0.0) -> Outputs:
    """Outputs of a linear head on features that overlap."""
    features = torch.randn(items, WIDTH) + shift
    return Outputs(1.5 * features[:, :CLASSES], features, np.arange(items))


@pytest.mark.parametrize("items", [3 + CLASSES, 60])
def test_on_predictions(validators: ModuleType, items: int) -> None:
    """Entropy, information maximisation, nuclear norm and density of soft neighbourhoods."""
    target = outputs(items)
    ours = label_free(target, None, None, seed=0).validators
    seen = {"logits": target.logits, "preds": target.logits.softmax(1)}
    assert ours["entropy"] == near(validators.EntropyValidator()(target_train=seen), abs=1e-6)
    assert ours["infomax"] == near(validators.IMValidator()(target_train=seen), abs=1e-6)
    assert ours["snd"] == near(validators.SNDValidator(layer="preds")(target_train=seen), abs=1e-6)
    # Theirs is over the number of images N, as the paper's loss; ours over the largest value there is, which
    # the paper derives in section 3, sqrt(N min(N, C)), so that domains of other sizes can be compared.
    largest = math.sqrt(items * min(items, CLASSES))
    theirs = validators.BNMValidator()(target_train=seen)
    assert ours["bnm"] * largest / items == near(theirs, abs=1e-6)


def test_deep_embedded_validation(validators: ModuleType) -> None:
    """The same risk from the same densities; the domain classifier is ours, cross-fitted (see below)."""
    source, target = outputs(40), outputs(30, shift=0.4)
    labels = torch.arange(40) % CLASSES
    ours = label_free(target, source, labels, seed=0).validators["dev"]
    odds = domain_scores(source.features, target.features, source.groups, target.groups, seed=0)
    assert odds is not None
    of_target, of_source = torch.sigmoid(-odds[0]), torch.sigmoid(odds[0])
    weights = of_target / of_source * (40 / 30)  # as in `get_weights`
    losses = cross_entropy(source.logits, labels, reduction="none")
    risk = validators.deep_embedded_validator.get_dev_risk(
        weights[:, None], losses[:, None], normalization=None
    )
    assert ours == near(-risk, abs=1e-6)


@dataclass(frozen=True)
class Fitted:
    """skada's pipeline, fitted to a source, and both domains as it takes them."""

    pipeline: Any
    x: np.ndarray
    y: np.ndarray
    domain: np.ndarray

    @property
    def target(self) -> np.ndarray:
        return self.domain < 0

    def predictions(self) -> Tensor:
        """Probabilities of the target's classes, (Nt, C)."""
        found = self.pipeline.predict_proba(self.x[self.target], sample_domain=self.domain[self.target])
        return torch.from_numpy(found)


@contextmanager
def fitted(peer: Peer) -> Iterator[Fitted]:
    skada = peer("skada")
    with sklearn.config_context(enable_metadata_routing=True):
        source, target = outputs(60), outputs(50, shift=0.3)
        y = np.arange(60) % CLASSES
        x = np.concatenate([source.features.numpy() + 2 * np.eye(WIDTH)[y], target.features.numpy()])
        domain = np.repeat([1, -2], [60, 50])
        y = np.concatenate([y, np.full(50, -1)])
        pipeline = skada.make_da_pipeline(LogisticRegression())
        yield Fitted(pipeline.fit(x, y, sample_domain=domain), x, y, domain)


def test_entropy_of_a_pipeline(peer: Peer) -> None:
    """Theirs is the mean over images and classes: the paper's entropy sums over the classes."""
    with fitted(peer) as case:
        scorer = peer("skada.metrics").PredictionEntropyScorer()
        theirs = scorer(case.pipeline, case.x, case.y, sample_domain=case.domain)
        assert -entropy(case.predictions()) / CLASSES == near(theirs, abs=1e-6)


def test_soft_neighbourhoods_of_a_pipeline(peer: Peer) -> None:
    """Theirs keeps an image among its own neighbours, at the similarity -1: a share of exp(-40) at most."""
    with fitted(peer) as case:
        scorer = peer("skada.metrics").SoftNeighborhoodDensity()
        theirs = scorer(case.pipeline, case.x, case.y, sample_domain=case.domain)
        assert soft_neighbourhood_density(case.predictions()) == near(theirs, abs=1e-6)


def test_deep_embedded_validation_of_a_pipeline(peer: Peer) -> None:
    """Theirs fits the domain classifier to training images, as the paper does; the risk is the same.

    Their own loss, of one dimension, is multiplied with every image's weight; as a column it is with its own,
    as in the paper's algorithm 1.
    """

    def column(y: np.ndarray, p: np.ndarray) -> np.ndarray:
        return -np.log(p[np.arange(len(y)), y])[:, None]

    with fitted(peer) as case:
        scorer = peer("skada.metrics").DeepEmbeddedValidation(loss_func=column, random_state=3)
        theirs = scorer(case.pipeline, case.x, case.y, sample_domain=case.domain)
        train, held, _, y = sklearn.model_selection.train_test_split(
            case.x[~case.target], case.y[~case.target], test_size=0.33, random_state=np.random.RandomState(3)
        )
        p = case.pipeline.predict_proba(held, sample_domain=np.ones(len(held)), allow_source=True)
        losses = torch.from_numpy(column(y, p)[:, 0])
        odds = torch.from_numpy(scorer.domain_classifier_.decision_function(held))
        weights = len(train) / case.target.sum() * torch.exp(-odds)
        assert -deep_embedded_validation(losses, weights) == near(theirs, abs=1e-6)


def test_domain_classifier(peer: Peer) -> None:
    """Held-out log-odds of each fold are those of scikit-learn's regression on the other one."""
    source, target = outputs(40), outputs(30, shift=0.5)
    odds = domain_scores(source.features, target.features, source.groups, target.groups, seed=0)
    assert odds is not None
    x = torch.cat([source.features, target.features]).numpy()
    y = np.repeat([1, 0], [40, 30])
    folds = np.concatenate([np.random.default_rng(0).permutation(n) % 2 for n in (40, 30)])
    for fold in (0, 1):
        seen = folds != fold
        # The difference of both classes' weights has half the penalty of the two of them.
        strength = seen.sum() * L2 * x.var(0).sum() / 2
        solver = LogisticRegression(C=1 / strength, solver="newton-cg", tol=1e-12, max_iter=1000)
        expected = solver.fit(x[seen], y[seen]).decision_function(x[~seen])
        # Ours stops where no part of the gradient exceeds 1e-6, of which a few are left in the odds.
        np.testing.assert_allclose(torch.cat(odds)[folds == fold].numpy(), expected, atol=1e-5)


def test_kernel_distance(peer: Peer) -> None:
    """Maximum mean discrepancy, by scikit-learn's kernel and distances."""
    pairwise = peer("sklearn.metrics.pairwise")
    x, y = torch.randn(12, WIDTH), torch.randn(9, WIDTH) + 0.5
    together = torch.cat([x, y]).numpy()
    distances = pairwise.euclidean_distances(together)[np.triu_indices(21, 1)]
    kernel = pairwise.rbf_kernel(together, gamma=1 / (2 * np.median(distances) ** 2))
    np.fill_diagonal(kernel, 0.0)
    expected = (
        kernel[:12, :12].sum() / (12 * 11) + kernel[12:, 12:].sum() / (9 * 8) - 2 * kernel[:12, 12:].mean()
    )
    assert mmd(x, y) == near(expected, abs=1e-6)


@pytest.mark.parametrize("items", [4, 30])
def test_effective_rank(items: int) -> None:
    """RankMe by the singular values themselves; the paper's 1e-7 is what keeps the logarithm finite."""
    features = torch.randn(items, 8)
    singular = np.linalg.svd(features.numpy(), compute_uv=False)
    assert rank_me(features) == near(math.exp(stats.entropy(singular)), rel=1e-5)
