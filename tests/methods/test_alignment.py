"""What holds for every alignment method, and cases by hand; `tests/fidelity/` compares losses with peers'."""

from __future__ import annotations

import math
from itertools import permutations
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from bench.api import AlignmentMethod, Backbone, Batch, Model, Side, Task, UserError
from bench.method.registry import configure, family, load_method, method_modules
from bench.methods.alignment.afn import larger_norm
from bench.methods.alignment.bsp import largest
from bench.methods.alignment.deep_coral import coral
from bench.methods.alignment.deep_jdot import transport_cost
from bench.methods.alignment.mcc import class_confusion
from bench.methods.alignment.mdd import disparity

METHODS = sorted(
    name
    for name in method_modules()
    if family(name) == "alignment" and issubclass(load_method(name), AlignmentMethod)
)
OLD, NEW = (
    Task(stage, tuple(classes), 8, seed=0) for stage, classes in (("source", "abc"), ("target", "de"))
)


class Shifted(nn.Module):
    """A backbone whose features are far from the origin, as after many layers that only add."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 3.0


def built(name: str) -> tuple[AlignmentMethod, Model]:
    torch.manual_seed(0)
    method = cast(AlignmentMethod, configure(name, {}))
    return method, method.build(Backbone(Shifted(), 6, []), OLD)


def images(items: int = 8) -> Tensor:
    return torch.randn(items, 6)


@pytest.mark.parametrize("name", METHODS)
def test_stages(name: str) -> None:
    """Without and with shots, the source's labels known or, where classes are others, not."""
    method, model = built(name)
    y = torch.arange(8) % 2
    batches = [
        (OLD, Batch(images(), y, target_x=images())),
        (OLD, Batch(images(), y, images(), y, images())),
        (NEW, Batch(images(), y, images(), None, images())),
    ]
    for task, batch in batches:
        if task is NEW:
            method.replace_head(model, NEW)
        model.zero_grad()
        loss = method.loss(model, batch, 0.5)
        loss.backward()
        assert loss.isfinite()
        # Label loss and alignment: what aligns predictions aligns through the head.
        logits = model(
            batch.x if batch.source_y is None else torch.cat([batch.x, cast(Tensor, batch.source_x)])
        )
        label_loss = nn.functional.cross_entropy(logits, y if batch.source_y is None else torch.cat([y, y]))
        assert not torch.isclose(loss, label_loss)
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", METHODS)
def test_alignment_in_half_precision(name: str, dtype: torch.dtype) -> None:
    """Features come in half precision; what is made of them does not."""
    method, model = built(name)
    source, target = (images().to(dtype).requires_grad_() for _ in range(2))
    batch = Batch(source, torch.arange(8) % 3, target_x=target)
    with torch.autocast("cpu", dtype=dtype):
        half = method.loss(model, batch, 0.5)
    gradients = torch.autograd.grad(half, [source, target])
    wide = [(side.detach() + 3.0).float() - 3.0 for side in (source, target)]  # As `Shifted` rounds them.
    whole = method.loss(model, Batch(wide[0], batch.y, target_x=wide[1]), 0.5)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, rtol=1e-5, atol=1e-6)
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", METHODS)
def test_features_that_are_all_the_same(name: str) -> None:
    method, model = built(name)
    x, target = (torch.zeros(8, 6, requires_grad=True) for _ in range(2))
    loss = method.loss(model, Batch(x, torch.arange(8) % 3, target_x=target), 0.5)
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, [x, target]))


@pytest.mark.parametrize("name", ["dan", "jan", "deep-coral"])
def test_batches_of_one_item(name: str) -> None:
    method, model = built(name)
    with pytest.raises(UserError, match="two items of each domain: use larger batches"):
        method.loss(model, Batch(images(1), torch.tensor([0]), target_x=images(1)), 0.5)


# By hand -----------------------------------------------------------------------------------------------


def test_larger_norm_by_hand() -> None:
    """The value is delta² whatever the norms; the gradient draws outwards, -2 delta f / (N ||f||)."""
    features = torch.tensor([[3.0, 4.0], [0.0, 2.0]], requires_grad=True)
    loss = larger_norm(features, 0.5)
    assert loss.item() == pytest.approx(0.25)
    loss.backward()
    torch.testing.assert_close(features.grad, torch.tensor([[-0.3, -0.4], [0.0, -0.5]]))


def test_largest_by_hand() -> None:
    """The square of sigma is not centred: rows (3, 4) and (3, 4) have 50."""
    features = torch.tensor([[3.0, 4.0], [3.0, 4.0]], requires_grad=True)
    loss = largest(features)
    loss.backward()
    assert loss.item() == pytest.approx(50.0)
    torch.testing.assert_close(features.grad, 2 * features.detach())


def test_coral_by_hand() -> None:
    """Covariances [[2, 0], [0, 0]] and [[0, 0], [0, 8]]: (4 + 64) / 16."""
    source, target = torch.tensor([[0.0, 5.0], [2.0, 5.0]]), torch.tensor([[1.0, 0.0], [1.0, 4.0]])
    assert coral(source, target).item() == pytest.approx(68 / 16)


def test_class_confusion_by_hand() -> None:
    """One item of probabilities (0.8, 0.2): each class's row is those, whatever its weight."""
    logits = torch.tensor([[math.log(4.0), 0.0]])
    assert class_confusion(logits, 1.0).item() == pytest.approx((0.2 + 0.8) / 2)
    # Two certain items of two classes, temperature 2: p = (0.8, 0.2) and (0.2, 0.8), of one weight.
    certain = torch.tensor([[2 * math.log(4.0), 0.0], [0.0, 2 * math.log(4.0)]])
    assert class_confusion(certain, 2.0).item() == pytest.approx(0.8 * 0.2 * 2)


def test_class_that_no_item_is_of() -> None:
    logits = torch.tensor([[900.0, 0.0, -900.0], [880.0, 0.0, -900.0]], requires_grad=True)
    loss = class_confusion(logits, 1.0)
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_disparity_by_hand() -> None:
    """The adversary agrees with probability 0.8 on the source, 0.9 on the target."""
    source, target = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    source_adv, target_adv = torch.tensor([[math.log(4.0), 0.0]]), torch.tensor([[0.0, math.log(9.0)]])
    loss = disparity(source, source_adv, target, target_adv, 4.0)
    assert loss.item() == pytest.approx(-4 * math.log(0.8) - math.log(0.1), rel=1e-6)


def test_disparity_where_the_adversary_is_certain() -> None:
    """-log(1 - p) of logits z and 0 is log(1 + e^z): about z at 40, and its slope 1, not 0."""
    target_adv = torch.tensor([[40.0, 0.0]], requires_grad=True)
    one = torch.tensor([[1.0, 0.0]])
    loss = disparity(one, one, one, target_adv, 0.0)
    loss.backward()
    assert loss.item() == pytest.approx(40.0)
    assert target_adv.grad is not None
    assert target_adv.grad.tolist() == [[1.0, -1.0]]


def test_transport_cost_is_the_least_of_all_assignments() -> None:
    torch.manual_seed(0)
    head, y = nn.Linear(3, 2), torch.tensor([0, 1, 1, 0])
    source, target = torch.randn(4, 3), torch.randn(4, 3)
    log_p = head(target).log_softmax(1).detach()

    def cost(s: int, t: int, weight: float) -> float:
        distance = sum((float(source[s, d]) - float(target[t, d])) ** 2 for d in range(3))
        return 0.3 * distance - weight * float(log_p[t, y[s]])

    def least(weight: float) -> float:
        return min(
            sum(cost(s, t, weight) for s, t in enumerate(order)) / 4 for order in permutations(range(4))
        )

    ours = transport_cost(Side(head, source, y), Side(head, target), 0.3, 0.7)
    assert ours.item() == pytest.approx(least(0.7), rel=1e-5)
    # Where classes are others: of the features alone.
    assert transport_cost(Side(head, source), Side(head, target), 0.3, 0.7).item() == pytest.approx(
        least(0.0), rel=1e-5
    )
