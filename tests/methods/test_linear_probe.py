"""The probe against scikit-learn, on real features of real images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from bench.api import Backbone, Labelled, Model, Task
from bench.data.dataset import Dataset
from bench.data.splits import subset
from bench.engine.training.inputs.image import ImageInputs
from bench.method.maths.logistic import GRID
from bench.methods.finetuning.linear_probe import LinearProbe
from bench.networks.backbones.create import create_backbone
from bench.networks.backbones.image import normalisation
from tests.support import items

LITE = "tf_efficientnet_lite0"


@dataclass(frozen=True)
class Features:
    classes: tuple[str, ...]
    train: Labelled
    test: Labelled

    @property
    def variance(self) -> float:
        """Total variance: the trace of the covariance."""
        return float(self.train.x.double().var(0, unbiased=False).sum())


@pytest.fixture(scope="module")
def features(emoji: Dataset) -> Features:
    classes = tuple(emoji.card.classes[:6])
    images = ImageInputs(emoji.decoded("google", 48), *normalisation(LITE), torch.device("cpu"), True)
    net = create_backbone(LITE).eval()

    def labelled(split: str) -> Labelled:
        part = subset(emoji, "google", classes, split)
        with torch.no_grad():
            x = net(images.take(part.rows))
        return Labelled(x, torch.from_numpy(part.labels), torch.from_numpy(part.groups))

    return Features(classes, labelled("train"), labelled("test"))


def fit(
    data: Labelled, classes: int, method: LinearProbe, head: nn.Linear | None = None
) -> tuple[nn.Linear, dict]:
    task = Task("target", tuple(map(str, range(classes))), 32, seed=0)
    dim = data.x.shape[1]
    model = Model(Backbone(nn.Identity(), dim, []), head or method.new_head(dim, task))
    details = items.fit(method, model, data, task)
    assert isinstance(model.head, nn.Linear)
    return model.head, details


def objective(
    data: Labelled, weight: Tensor, bias: Tensor, l2: float, variance: float, prior: Tensor | float = 0.0
) -> Tensor:
    """Mean cross-entropy + l2 v / 2 ||W - W0||^2, as the docstring says: weight (C, D)."""
    logits = data.x.double() @ weight.T + bias
    loss = nn.functional.cross_entropy(logits, data.y)
    return loss + l2 * variance / 2 * (weight - prior).square().sum()


def accuracy(data: Labelled, weight: Tensor, bias: Tensor) -> float:
    return float(((data.x.double() @ weight.T + bias).argmax(1) == data.y).double().mean()) * 100


@pytest.mark.parametrize("l2", [3.0, 0.1, 0.01, pytest.param(0.001, marks=pytest.mark.slow)])
def test_agrees_with_scikit_learn(features: Features, l2: float) -> None:
    train, variance = features.train, features.variance
    head, details = fit(train, 6, LinearProbe(l2=l2))
    assert details["l2"] == l2
    weight, bias = head.weight.detach().double(), head.bias.detach().double()

    # scikit-learn minimises C * sum of cross-entropies + ||W||^2 / 2.
    reference = LogisticRegression(C=1 / (len(train.y) * l2 * variance), max_iter=20_000, tol=1e-10)
    reference.fit(train.x.double().numpy(), train.y.numpy())
    their_weight, their_bias = torch.from_numpy(reference.coef_), torch.from_numpy(reference.intercept_)

    ours = objective(train, weight, bias, l2, variance).item()
    theirs = objective(train, their_weight, their_bias, l2, variance).item()
    assert ours <= theirs + 1e-6
    for data in (train, features.test):
        assert accuracy(data, weight, bias) >= accuracy(data, their_weight, their_bias) - 0.5
    p = (features.test.x.double() @ weight.T + bias).softmax(1)
    q = torch.from_numpy(reference.predict_proba(features.test.x.double().numpy()))
    assert (p - q).abs().max() < 0.01


@pytest.mark.parametrize("l2", [1.0, 0.01])
def test_no_gradient_is_left(features: Features, l2: float) -> None:
    head, _ = fit(features.train, 6, LinearProbe(l2=l2))
    weight, bias = (
        head.weight.detach().double().requires_grad_(),
        head.bias.detach().double().requires_grad_(),
    )
    value = objective(features.train, weight, bias, l2, features.variance)
    d_weight, d_bias = torch.autograd.grad(value, [weight, bias])
    start = torch.zeros_like(weight).requires_grad_()
    at_zero = torch.autograd.grad(objective(features.train, start, bias, l2, features.variance), start)[0]
    assert d_weight.norm() < 1e-3 * at_zero.norm()
    assert d_bias.norm() < 1e-4


def some_head(features: Features) -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(features.train.x.shape[1], 6)


def test_a_strong_pull_stays_at_the_source_head(features: Features) -> None:
    head = some_head(features)
    before = head.weight.detach().clone()
    after, _ = fit(features.train, 6, LinearProbe(l2=1e6), head)
    torch.testing.assert_close(after.weight.detach(), before, rtol=0, atol=1e-4)


def test_the_pull_is_towards_the_prior_not_zero(features: Features) -> None:
    """At 0.5 the solution is the optimum of the objective around W0, not around 0."""
    head = some_head(features)
    prior = head.weight.detach().double().clone()
    after, _ = fit(features.train, 6, LinearProbe(l2=0.5), head)
    weight, bias = after.weight.detach().double(), after.bias.detach().double()
    around = objective(features.train, weight, bias, 0.5, features.variance, prior)
    plain, _ = fit(features.train, 6, LinearProbe(l2=0.5))
    other = objective(
        features.train,
        plain.weight.detach().double(),
        plain.bias.detach().double(),
        0.5,
        features.variance,
        prior,
    )
    assert around < other
    assert (weight - prior).norm() < (plain.weight.detach().double() - prior).norm()
    w = weight.requires_grad_()
    gradient = torch.autograd.grad(objective(features.train, w, bias, 0.5, features.variance, prior), w)[0]
    assert gradient.norm() < 1e-3


def test_a_weak_pull_is_no_pull() -> None:
    """Overlapping classes in few dimensions, where the unpenalised optimum is finite."""
    torch.manual_seed(2)
    x = torch.randn(300, 3)
    y = (x @ torch.tensor([1.0, -1.0, 0.5]) + torch.randn(300) * 2 > 0).long()
    data = Labelled(x, y, torch.arange(300))
    far = nn.Linear(3, 2)
    with torch.no_grad():
        far.weight.fill_(0.7)
    one, _ = fit(data, 2, LinearProbe(l2=1e-8), far)
    two, _ = fit(data, 2, LinearProbe(l2=1e-8))
    torch.testing.assert_close(one(x).softmax(1), two(x).softmax(1), rtol=0, atol=1e-3)
    reference = LogisticRegression(C=1e8, max_iter=10_000, tol=1e-10).fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(
        two(x).softmax(1).detach().numpy(), reference.predict_proba(x.numpy()), atol=2e-3
    )


def test_cross_validation_chooses_sensibly(features: Features) -> None:
    head, details = fit(features.train, 6, LinearProbe())
    assert details["folds"] == 5
    assert details["l2"] in GRID
    chosen = accuracy(features.test, head.weight.detach().double(), head.bias.detach().double())
    every = []
    for l2 in (GRID[0], GRID[-1]):
        other, _ = fit(features.train, 6, LinearProbe(l2=l2))
        every.append(accuracy(features.test, other.weight.detach().double(), other.bias.detach().double()))
    assert chosen >= max(every) - 5
    assert chosen > 50


def test_cross_validation_knows_noise_from_signal() -> None:
    torch.manual_seed(3)
    x, y = torch.randn(120, 40), torch.arange(120) % 3
    _, noise = fit(Labelled(x, y, torch.arange(120)), 3, LinearProbe())
    _, signal = fit(Labelled(x + 4 * nn.functional.one_hot(y, 40), y, torch.arange(120)), 3, LinearProbe())
    assert noise["l2"] == max(GRID)
    assert signal["l2"] < 0.1


def test_folds_keep_groups_together() -> None:
    """Ten exact copies of each random image: only a fold that splits copies apart could learn them."""
    y, groups = (torch.arange(30) % 3).repeat(10), torch.arange(30).repeat(10)
    together, apart = [], []
    # Among strengths that all teach nothing the choice is chance, so that one draw would say little.
    for draw in range(9):
        x = torch.randn(30, 40, generator=torch.Generator().manual_seed(draw)).repeat(10, 1)
        together.append(fit(Labelled(x, y, groups), 3, LinearProbe())[1]["l2"])
        apart.append(fit(Labelled(x, y, torch.arange(300)), 3, LinearProbe())[1]["l2"])
    assert np.median(together) >= 0.1
    assert max(apart) <= 0.001


@pytest.mark.parametrize("images", [1, 2])
def test_few_images_a_class(features: Features, images: int) -> None:
    rows = torch.cat([(features.train.y == label).nonzero()[:images, 0] for label in range(6)])
    few = Labelled(features.train.x[rows], features.train.y[rows], torch.arange(len(rows)))
    head, details = fit(few, 6, LinearProbe())
    assert details == {"l2": details["l2"], "folds": 0 if images == 1 else 2, "images": len(few.y)}
    assert details["l2"] in GRID
    assert head.weight.isfinite().all()
    assert (head(few.x).argmax(1) == few.y).all(), "six images in 1,280 dimensions are separable"


def test_the_same_twice(features: Features) -> None:
    one, two = fit(features.train, 6, LinearProbe())[0], fit(features.train, 6, LinearProbe())[0]
    assert torch.equal(one.weight, two.weight)
    assert torch.equal(one.bias, two.bias)


def test_constant_features() -> None:
    data = Labelled(torch.ones(9, 4), torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2]), torch.arange(9))
    head, _ = fit(data, 3, LinearProbe(l2=0.1))
    p = head(data.x[:1]).softmax(1)[0]
    torch.testing.assert_close(p, torch.tensor([6 / 9, 2 / 9, 1 / 9]), rtol=0, atol=1e-3)
