"""Adaptation to a small task by gradient steps that can be differentiated, for meta-learning methods."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call

Fast = dict[str, Tensor]
"""Parameters by name that stand in for a module's own."""


def prototypes(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Class means: (N, D), (N,) -> (classes, D). Snell et al. 2017, equation 1."""
    member = nn.functional.one_hot(labels, classes).to(features.dtype)
    return (member.T @ features) / member.sum(0)[:, None]


def prototype_head(means: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Weight (C, D) and bias (C,) whose logits are -scale · ||f - c||², up to a term all classes share.

    A linear head for any number of classes (Snell et al. 2017, equation 8; Triantafillou et al. 2020).
    """
    return 2 * scale * means, -scale * means.square().sum(1)


def adapt(
    model: nn.Module,
    names: Iterable[str],
    head: tuple[Tensor, Tensor],
    batches: Iterable[tuple[Tensor, Tensor]],
    rate: float,
    second_order: bool,
) -> Fast:
    """Adapt by gradient steps on a task, from a model's own parameters (Finn et al. 2017, equation 1).

    Args:
        model: maps x to logits and has a linear `head`.
        names: parameters to adapt beside the head's.
        head: weight (C, D) and bias (C,) that adaptation starts from.
        batches: x (N, ...) and y (N,) to learn from, of each step.
        rate: step size.
        second_order: keep the graph, so that the result can be differentiated through the steps.
    """
    own = dict(model.named_parameters())
    # Views, since a head computed from these parameters is a start of its own: the first step takes partial
    # derivatives at (parameters, head), and none through the head.
    fast: Fast = {name: own[name].view_as(own[name]) for name in names}
    fast["head.weight"], fast["head.bias"] = head
    for x, y in batches:
        loss = nn.functional.cross_entropy(functional_call(model, fast, (x,)), y)
        grads = torch.autograd.grad(loss, list(fast.values()), create_graph=second_order)
        # Without the graph of the gradients this is first-order MAML: each step's Jacobian is the identity.
        fast = {name: value - rate * grad for (name, value), grad in zip(fast.items(), grads, strict=True)}
    return fast
