"""Weighted domain loss and the discriminator by hand; `tests/methods/test_dann.py` has the rest."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bench.api import discriminator, domain_loss


def test_weights_multiply_the_terms_of_the_mean() -> None:
    logits = torch.tensor([0.0, 2.0, -1.0])
    # -log sigmoid(z) for the source's, -log sigmoid(-z) for the target's.
    terms = [math.log(2), math.log(1 + math.exp(-2)), math.log(1 + math.exp(-1))]
    expected = (0.5 * terms[0] + 2.0 * terms[1] + 0.0 * terms[2]) / 3
    assert domain_loss(logits, 2, torch.tensor([0.5, 2.0, 0.0])).item() == pytest.approx(expected, rel=1e-6)
    assert domain_loss(logits, 2, torch.ones(3)).item() == pytest.approx(sum(terms) / 3, rel=1e-6)


def test_gradient_by_hand() -> None:
    """(p - y) / N: the logit of a source item is pulled up, of a target item down."""
    logits = torch.zeros(4, requires_grad=True)
    domain_loss(logits, 1).backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [-0.125, 0.125, 0.125, 0.125]


def test_discriminator() -> None:
    layers = list(discriminator(3, 5))
    assert [type(layer) for layer in layers] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    assert discriminator(3, 5)(torch.zeros(7, 3)).shape == (7, 1)
