"""Entropy by hand."""

from __future__ import annotations

import math

import pytest
import torch

from bench.api import entropy


def test_entropy_by_hand() -> None:
    p = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    assert entropy(p).tolist() == pytest.approx([math.log(4), math.log(2), 0.0])


def test_gradient_of_entropy_is_finite_where_a_class_is_certain() -> None:
    """d(-p log p) = -log p - 1, and nothing that is not a number at 0."""
    p = torch.tensor([[0.5, 0.5], [1.0, 0.0]], requires_grad=True)
    entropy(p).sum().backward()
    assert p.grad is not None
    assert p.grad[0].tolist() == pytest.approx([math.log(2) - 1] * 2)
    assert p.grad.isfinite().all()
