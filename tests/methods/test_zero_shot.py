"""Methods that know classes by their names, by hand and against what their papers minimise."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from bench.api import Backbone, Batch, Model, NamesHead, StageItems, Task
from bench.method.items import opened
from bench.methods.zeroshot.eszsl import Eszsl, bilinear, held_out
from bench.methods.zeroshot.name_contrast import FIRST, NameContrast, Projection, contrast
from bench.networks.names import name_vectors

TINY = "tiny_encoder.untrained"
OLD = Task("source", ("red fruit", "green fruit", "red tool", "green tool"), 4, seed=0)
NEW = Task("names", ("red hat", "green hat"), 4, seed=0)


def test_a_bilinear_map_by_hand() -> None:
    """Two items and two names at right angles: (I + I)⁻¹ Y (I + I)⁻¹ is a quarter of the signs."""
    eye = torch.eye(2, dtype=torch.float64)
    (found,) = bilinear(eye, torch.tensor([0, 1]), eye, [(1.0, 1.0)])
    torch.testing.assert_close(found, torch.tensor([[0.25, -0.25], [-0.25, 0.25]], dtype=torch.float64))


def test_a_bilinear_map_is_where_the_papers_objective_is_least() -> None:
    """Equations 3 and 6: |Xᵀ V S - Y|² + γ |V S|² + λ |Xᵀ V|² + γ λ |V|² has no gradient there."""
    random = torch.Generator().manual_seed(0)
    x, names = (torch.randn(size, generator=random, dtype=torch.float64) for size in ((12, 5), (4, 3)))
    y = torch.arange(12) % 4
    v = next(bilinear(x, y, names, [(0.3, 0.7)])).requires_grad_()
    gamma, weight = 0.3 * x.square().sum() / 5, 0.7 * names.square().sum() / 3
    signs = 2 * nn.functional.one_hot(y, 4).double() - 1
    parts = (x @ v @ names.T - signs).square().sum(), (v @ names.T).square().sum(), (x @ v).square().sum()
    (parts[0] + gamma * parts[1] + weight * parts[2] + gamma * weight * v.square().sum()).backward()
    torch.testing.assert_close(v.grad, torch.zeros_like(v), atol=1e-9, rtol=0)


def test_classes_are_held_out_from_what_judges_them() -> None:
    """Of four classes two are held out, whose features say which; labels of theirs are not learnt from."""
    names = torch.eye(4, dtype=torch.float64)[:, [0, 1, 0, 1]] + 0.1 * torch.eye(4, dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 3, 2, 3])
    x = names[y]
    out = torch.tensor([3, 2])
    assert held_out(x, y, names, out, [(0.1, 0.1)]) == [4]
    swapped = torch.tensor([0, 1, 3, 2, 3, 2])
    assert held_out(x, swapped, names, out, [(0.1, 0.1)]) == [0]


def test_a_contrast_by_hand() -> None:
    """Three images of two classes among three names; the third name has no image, and is told apart still."""
    odds = torch.tensor([[2.0, 1.0, 1.0], [1.0, 1.0, 2.0], [1.0, 4.0, 1.0]])
    to_names = -(math.log(2 / 4) + math.log(1 / 4) + math.log(4 / 6)) / 3
    first, second = -(math.log(2 / 4) + math.log(1 / 4)) / 2, -math.log(4 / 6)
    found = contrast(odds.log(), torch.tensor([0, 0, 1]))
    assert found.item() == pytest.approx((to_names + (first + second) / 2) / 2)


def test_logits_of_a_contrast_are_cosines_over_a_temperature() -> None:
    project = Projection(2, 2)
    with torch.no_grad():
        cast(Any, project.linear).weight.copy_(torch.eye(2))
        project.linear.bias.zero_()
    head = NamesHead(project, torch.tensor([[1.0, 0.0], [0.6, 0.8]]))
    found = head(torch.tensor([[0.0, 5.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.8 * FIRST]]))
    with torch.no_grad():
        project.scale.fill_(9.0)
    torch.testing.assert_close(head(torch.tensor([[0.0, 5.0]])), torch.tensor([[0.0, 80.0]]))


def test_vectors_of_names() -> None:
    state = torch.get_rng_state()
    found = name_vectors(["red-fruit", "red fruit", "red_fruit", "tool"], TINY)
    assert torch.equal(torch.get_rng_state(), state), "draws of a cell go on as without"
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[3])


def seen(classes: int) -> tuple[Tensor, Tensor]:
    """Features of which the first half is the vector of the class's name, with a little noise."""
    y = torch.arange(10 * classes) % classes
    names = name_vectors(OLD.classes, TINY)[y]
    noise = torch.randn(len(y), names.shape[1], generator=torch.Generator().manual_seed(0))
    return torch.cat([names + 0.01 * noise, noise], 1), y


@pytest.mark.parametrize(
    "method", [Eszsl(encoder=TINY, features=0.01, names=0.01), NameContrast(encoder=TINY)]
)
def test_new_classes_are_told_by_their_names(method: Eszsl | NameContrast) -> None:
    """Where features hold the vectors of names, what is learnt of four classes holds for two others."""
    torch.manual_seed(0)
    x, y = seen(4)
    width = x.shape[1]
    model = method.build(Backbone(nn.Identity(), width, []), OLD)
    learn(method, model, x, y)
    method.replace_head(model, NEW)
    names = name_vectors(NEW.classes, TINY)
    new = torch.cat([names, torch.zeros(2, width - names.shape[1])], 1)
    logits, features = method.predict(model, new)
    assert logits.argmax(1).tolist() == [0, 1]
    assert torch.equal(features, new)


def learn(method: Eszsl | NameContrast, model: Model, x: Tensor, y: Tensor) -> None:
    if isinstance(method, Eszsl):
        groups = torch.arange(len(x), dtype=torch.int32)
        with opened(lambda start, end: x[start:end], len(x), y, groups) as items:
            details = method.fit(model, StageItems(items), OLD)
        assert details["features"] > 0
        assert details["names"] > 0
        return
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        method.loss(model, Batch(x, y), 0.0).backward()
        optimizer.step()
