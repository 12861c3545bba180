"""Label-free validators against hand-computed values, direct loops, and what they must not do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from bench.engine.evaluation import validators
from bench.engine.evaluation.validators import (
    Discrepancy,
    DiscrepancyCache,
    Outputs,
    deep_embedded_validation,
    density_ratio,
    discrepancy,
    diversity,
    entropy,
    information_maximisation,
    label_free,
    nuclear_norm,
    rank_me,
    soft_neighbourhood_density,
)
from bench.records.selection import COLLAPSED
from bench.spec.rules import VALIDATORS


def predictions(n: int, classes: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), n))


SURE = torch.eye(3).double()
UNSURE = torch.full((3, 3), 1 / 3).double()
COLLAPSE = torch.eye(3).double()[[0, 0, 0]]


def test_entropies_by_hand_and_by_scipy() -> None:
    assert entropy(SURE) == entropy(COLLAPSE) == 0.0
    assert entropy(UNSURE) == pytest.approx(math.log(3))
    assert information_maximisation(SURE) == pytest.approx(math.log(3))
    assert information_maximisation(UNSURE) == pytest.approx(0.0)
    assert information_maximisation(COLLAPSE) == 0.0
    p = predictions(20, 5)
    assert entropy(p) == pytest.approx(stats.entropy(p.numpy(), axis=1).mean())
    together = stats.entropy(p.numpy().mean(0))
    assert information_maximisation(p) == pytest.approx(together - entropy(p))


def test_soft_neighbourhood_density_by_a_loop() -> None:
    p = predictions(7, 4).numpy()
    found = []
    for i in range(7):
        cosine = [p[i] @ p[j] / np.linalg.norm(p[i]) / np.linalg.norm(p[j]) for j in range(7) if j != i]
        found.append(stats.entropy(np.exp(np.array(cosine) / 0.05)))
    assert soft_neighbourhood_density(torch.from_numpy(p)) == pytest.approx(np.mean(found))
    # All alike: every other image is as near as the next one. It is the highest value there is.
    assert soft_neighbourhood_density(COLLAPSE) == pytest.approx(math.log(2))


def test_nuclear_norm_by_hand() -> None:
    assert nuclear_norm(SURE) == pytest.approx(1.0)  # Three singular values of 1, bound sqrt(9).
    assert nuclear_norm(COLLAPSE) == pytest.approx(math.sqrt(3) / 3)
    assert nuclear_norm(UNSURE) == pytest.approx(1 / 3)
    p = predictions(30, 6)
    assert nuclear_norm(p) == pytest.approx(np.linalg.norm(p.numpy(), "nuc") / math.sqrt(30 * 6))


def test_rank_me_by_hand() -> None:
    assert rank_me(torch.eye(4)) == pytest.approx(4.0, rel=1e-5)
    assert rank_me(torch.ones(4, 3)) == pytest.approx(1.0, abs=1e-4)
    singular = np.array([3.0, 1.0])
    assert rank_me(torch.diag(torch.from_numpy(singular))) == pytest.approx(
        math.exp(stats.entropy(singular)), rel=1e-5
    )
    assert math.isfinite(rank_me(torch.zeros(4, 3)))


def test_deep_embedded_validation_by_hand() -> None:
    losses, weights = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([2.0, 1.0, 0.0]).double()
    weighted = np.array([2.0, 2.0, 0.0])
    eta = -np.cov(weighted, weights.numpy())[0, 1] / np.var(weights.numpy(), ddof=1)
    expected = weighted.mean() + eta * 1.0 - eta
    assert deep_embedded_validation(losses, weights) == pytest.approx(expected)
    # Domains that are alike weigh all images the same: the plain mean.
    assert deep_embedded_validation(losses, torch.ones(3).double()) == pytest.approx(2.0)


def test_density_ratio() -> None:
    """Classifier that knows no better than the numbers of images: P(source) = 2 / 3, ratio 1."""
    odds = torch.full((4,), math.log(2.0)).double()
    torch.testing.assert_close(density_ratio(odds, torch.zeros(2)), torch.ones(4).double())


def test_deep_embedded_validation_estimates_the_targets_risk() -> None:
    """Importance weighting with true densities, and less spread than without the control variate."""
    plain, controlled = [], []
    for seed in range(200):
        x = torch.from_numpy(np.random.default_rng(seed).normal(0.0, 1.0, 400))
        weights = torch.exp(0.5 * x - 0.125)  # N(0.5, 1) over N(0, 1).
        losses = (x + 2.0).square()
        plain.append(float((weights * losses).mean()))
        controlled.append(deep_embedded_validation(losses, weights))
    assert np.mean(controlled) == pytest.approx(2.5**2 + 1, rel=0.02)
    assert np.std(controlled) < 0.7 * np.std(plain)


def test_diversity_by_hand() -> None:
    assert diversity(SURE) == pytest.approx(1.0)
    assert diversity(COLLAPSE) == 0.0
    assert diversity(torch.eye(4).double()[[0, 0, 1, 1]]) == pytest.approx(1 / 3)  # 2 of 4: (2 - 1) / (4 - 1)
    assert diversity(torch.eye(50).double()[:10]) == pytest.approx(1.0)  # As many as images allow.


@given(st.integers(4, 30), st.integers(2, 8), st.integers(0, 99))
def test_bounds(n: int, classes: int, seed: int) -> None:
    p = predictions(n, classes, seed)
    assert 0 <= entropy(p) <= math.log(classes) + 1e-9
    assert -1e-9 <= information_maximisation(p) <= math.log(classes) + 1e-9
    assert 0 <= soft_neighbourhood_density(p) <= math.log(n - 1) + 1e-9
    assert 0 < nuclear_norm(p) <= 1 + 1e-9
    assert 0 <= diversity(p) <= 1 + 1e-9


def outputs(n: int, classes: int = 4, seed: int = 0, shift: float = 0.0) -> Outputs:
    random = np.random.default_rng(seed)
    features = torch.from_numpy(random.normal(shift, 1.0, (n, 6)).astype(np.float32))
    return Outputs(features[:, :classes].half(), features, np.arange(n, dtype=np.int32))


def test_every_validator_is_a_rule() -> None:
    found = label_free(outputs(30), outputs(20, seed=1), torch.arange(20) % 4, outputs(30, seed=2), seed=0)
    assert found.validators.keys() == VALIDATORS.keys()
    assert found.discrepancy.keys() == {"mmd", "proxy-a-distance"}
    assert found.diversity is not None
    assert found.diversity > COLLAPSED


def test_what_cannot_be_said_is_left_out() -> None:
    alone = label_free(outputs(30), None, None, outputs(9), seed=0)
    assert alone.validators.keys() == VALIDATORS.keys() - {"dev"}
    assert alone.discrepancy == {}
    other_classes = label_free(outputs(30), outputs(20, seed=1), None, outputs(9), seed=0)
    assert "dev" not in other_classes.validators
    assert other_classes.discrepancy.keys() == {"mmd", "proxy-a-distance"}
    few = label_free(outputs(2), outputs(20), None, outputs(9), seed=0)
    assert (few.validators, few.discrepancy, few.diversity) == ({}, {}, None)
    few_source = label_free(outputs(30), outputs(2, seed=1), torch.tensor([0, 1]), outputs(9), seed=0)
    assert few_source.discrepancy == {}
    few_apart = label_free(outputs(30), outputs(20, seed=1), torch.arange(20) % 4, outputs(2), seed=0)
    assert (few_apart.discrepancy, "dev" in few_apart.validators) == ({}, True)


def test_distances_are_to_images_that_nothing_was_trained_on() -> None:
    """A method that has drawn the images it adapts to onto the source's has drawn no others there."""
    source, drawn, apart = outputs(40), outputs(40, seed=1), outputs(40, seed=2, shift=3.0)
    found = label_free(drawn, source, None, apart, seed=0)
    assert found.discrepancy == discrepancy(source, apart, 0).scores
    assert found.discrepancy["proxy-a-distance"] > 1.5


@pytest.mark.parametrize("where", ["logits", "features"])
def test_numbers_that_are_none(where: str) -> None:
    broken = outputs(30)
    getattr(broken, where)[3, 1] = torch.nan
    found = label_free(broken, outputs(20), None, outputs(9), seed=0)
    assert (found.validators, found.discrepancy, found.diversity) == ({}, {}, None)


def test_collapse_is_seen_where_validators_praise_it() -> None:
    """SND and entropy give a collapsed model their best value; its diversity is 0."""
    collapsed = outputs(30)
    collapsed.logits[:] = torch.tensor([30.0, 0, 0, 0]).half()
    bad, good = (label_free(seen, None, None, outputs(9), seed=0) for seen in (collapsed, outputs(30)))
    for name in ("entropy", "snd"):
        assert bad.validators[name] > good.validators[name]
    assert bad.diversity == 0.0


def test_the_same_features_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def counted(source: Outputs, target: Outputs, seed: int) -> Discrepancy:
        measured.append(seed)
        return discrepancy(source, target, seed)

    monkeypatch.setattr(validators, "discrepancy", counted)
    remembered, source, target = DiscrepancyCache(), outputs(30), outputs(30, seed=1, shift=1.0)
    first = remembered(source, target, 0)
    assert remembered(outputs(30), outputs(30, seed=1, shift=1.0), 0) is first
    assert measured == [0]
    for other in ((source, outputs(30, seed=2), 0), (outputs(30, seed=2), target, 0), (source, target, 1)):
        assert remembered(*other).scores == discrepancy(*other).scores
    assert measured == [0, 0, 0, 1]
