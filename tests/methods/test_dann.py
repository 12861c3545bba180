from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bench.api import (
    AlignmentMethod,
    Backbone,
    Batch,
    GradientMethod,
    Model,
    Task,
    domain_loss,
    reversal_strength,
    reverse_gradient,
)
from bench.method.registry import load_method, method_modules
from bench.methods.alignment.dann import Dann

TASK = Task("source", ("a", "b", "c"), 4, seed=0)


def test_reversal_is_the_identity_forwards_and_minus_it_backwards() -> None:
    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    out = reverse_gradient(x, 0.25)
    assert torch.equal(out, x)
    (out * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-0.25, -2.5, -25.0]


@pytest.mark.parametrize(
    ("progress", "expected"),
    [(0.0, 0.0), (0.5, 2 / (1 + math.exp(-5)) - 1), (1.0, 2 / (1 + math.exp(-10)) - 1), (0.1, 0.46211715726)],
)
def test_reversal_strength(progress: float, expected: float) -> None:
    assert reversal_strength(progress) == pytest.approx(expected)


@given(st.floats(0, 1), st.floats(0, 1))
def test_reversal_strength_rises_from_0_to_1(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= reversal_strength(low) <= reversal_strength(high) <= 1
    assert reversal_strength(low) == pytest.approx(math.tanh(5 * low))  # the same function, written otherwise


def test_domain_loss_by_hand() -> None:
    logits = torch.tensor([0.0, 2.0, -1.0])
    # -log sigmoid(z) for the source's, -log sigmoid(-z) for the target's.
    expected = (math.log(2) + math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 3
    assert domain_loss(logits, 2).item() == pytest.approx(expected, rel=1e-6)
    assert domain_loss(torch.tensor([50.0, -50.0]), 1).item() == pytest.approx(0.0, abs=1e-6)
    assert domain_loss(torch.zeros(7), 3).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", method_modules())
def test_methods_that_share_a_loss_differ_in_nothing_else(name: str) -> None:
    """Optimiser and schedule are the recipe's, so that a difference of accuracies is one of losses."""
    method = load_method(name)
    if issubclass(method, AlignmentMethod):
        assert method.optimizer is GradientMethod.optimizer
        assert method.schedule is GradientMethod.schedule


def build(method: Dann) -> Model:
    torch.manual_seed(0)
    return method.build(Backbone(nn.Linear(5, 4), 4, []), TASK)


def test_discriminator_is_the_papers() -> None:
    layers = list(build(Dann()).discriminator)  # type: ignore[arg-type]
    widths = [(layer.in_features, layer.out_features) for layer in layers if isinstance(layer, nn.Linear)]
    assert widths == [(4, 1024), (1024, 1024), (1024, 1)]


@pytest.mark.parametrize("shots", [False, True])
def test_loss_by_hand(shots: bool) -> None:
    method = Dann(hidden=6, weight=0.3)
    model = build(method)
    x, target = torch.randn(4, 5), torch.randn(3, 5)
    y = torch.tensor([0, 1, 2, 1])
    source, labels = torch.randn(2, 5), torch.tensor([2, 0])
    batch = Batch(x, y, source, labels, target) if shots else Batch(x, y, target_x=target)
    loss = method.loss(model, batch, progress=0.5)

    features = model.backbone
    if shots:  # Source against target in the domain loss; source and shots in the label loss.
        everything, truth, sources = torch.cat([source, x]), torch.cat([labels, y]), source
    else:
        everything, truth, sources = x, y, x
    label_loss = -model.head(features(everything)).log_softmax(1)[torch.arange(len(truth)), truth].mean()
    domains = model.discriminator(features(torch.cat([sources, target]))).squeeze(1)  # type: ignore[operator]
    is_source = torch.cat([torch.ones(len(sources)), torch.zeros(3)])
    p = domains.sigmoid()
    domain = -(is_source * p.log() + (1 - is_source) * (1 - p).log()).mean()
    torch.testing.assert_close(loss, label_loss + 0.3 * domain)


def test_the_backbone_works_against_the_discriminator() -> None:
    """In the backbone the domain loss counts negatively, times the strength; in the discriminator plainly."""
    method = Dann(hidden=6, weight=0.5)
    model = build(method)
    x, y, target = torch.randn(4, 5), torch.tensor([0, 1, 2, 1]), torch.randn(4, 5)
    method.loss(model, Batch(x, y, target_x=target), progress=0.2).backward()
    weight = next(model.backbone.parameters())
    first = next(model.discriminator.parameters())  # type: ignore[union-attr]
    assert weight.grad is not None
    assert first.grad is not None

    label = nn.functional.cross_entropy(model(x), y)
    domains = model.discriminator(model.features(torch.cat([x, target]))).squeeze(1)  # type: ignore[operator]
    domain = domain_loss(domains, 4)
    d_label = torch.autograd.grad(label, weight)[0]
    d_domain, d_first = torch.autograd.grad(domain, [weight, first])
    torch.testing.assert_close(weight.grad, d_label - math.tanh(1.0) * 0.5 * d_domain)
    torch.testing.assert_close(first.grad, 0.5 * d_first)


def test_registered() -> None:
    assert load_method("dann") is Dann
