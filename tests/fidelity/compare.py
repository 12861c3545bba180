"""Comparison of two losses by their values and gradients, and something to take them of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.api import AlignmentMethod, Backbone, Model, Side, Task

TOLERANCE = 1e-5
"""Largest difference, relative to the size of what is compared."""
TASK = Task("source", ("a", "b", "c", "d"), 8, seed=0)
FEATURES = 6


def assert_alike(ours: Tensor, theirs: Tensor, leaves: Mapping[str, Tensor]) -> None:
    """Two losses () have the same value, and the same gradient with respect to each of the leaves."""
    assert_near(ours.detach(), theirs.detach(), "value")
    pairs = [
        torch.autograd.grad(loss, list(leaves.values()), retain_graph=True, materialize_grads=True)
        for loss in (ours, theirs)
    ]
    for name, mine, other in zip(leaves, *pairs, strict=True):
        assert_near(mine, other, f"gradient of {name}")


def assert_near(ours: Tensor, theirs: Tensor, what: str) -> None:
    """Two tensors differ by little beside the size of the second; the first is 0 where that is."""
    distance, size = (ours - theirs).norm(), theirs.norm()
    assert distance <= TOLERANCE * size, f"{what}: {distance:.3g} beside {size:.3g}"


@dataclass(frozen=True)
class Example:
    """Random features of two domains behind a method's network, a linear head upon them."""

    method: AlignmentMethod
    model: Model
    source: Side
    target: Side

    def ours(self, progress: float = 0.3) -> Tensor:
        """Alignment by our method."""
        return self.method.align(self.model, self.source, self.target, progress)

    @property
    def leaves(self) -> dict[str, Tensor]:
        """Features of both domains, and the parameters of the head and of what else the method trains."""
        features = {"source": self.source.features, "target": self.target.features}
        return {**features, **dict(self.model.named_parameters())}


def example(method: AlignmentMethod, items: int = 8) -> Example:
    """As many items of each domain, the domains apart."""
    model = method.build(Backbone(nn.Identity(), FEATURES, []), TASK)
    source, target = ((torch.randn(items, FEATURES) + shift).requires_grad_() for shift in (0.0, 0.7))
    y = torch.arange(items) % len(TASK.classes)
    return Example(method, model, Side(model.head, source, y), Side(model.head, target))
