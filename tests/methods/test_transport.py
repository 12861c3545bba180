"""Optimal transport of frozen features, and prototypes that unlabelled images move: cases that need it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench.api import Backbone, Labelled, Method, Task
from bench.method.items import even_share
from bench.methods.fewshot.tim import Tim
from bench.methods.shallow.jdot import Jdot
from bench.methods.shallow.ot_mapping import OtMapping, class_plan
from tests.support.cells import answer, tiny_cell
from tests.support.items import fit

TASK = Task("source", ("left", "right"), 16, seed=0)
transport = pytest.mark.skipif(bool(OtMapping.unavailable()), reason=str(OtMapping.unavailable()))


def clusters(left: float, right: float, items: int = 40) -> tuple[Tensor, Tensor]:
    y = torch.arange(items) % 2
    return torch.stack([left + (right - left) * y, 0.0 * y], 1) + 0.3 * torch.randn(items, 2), y


@transport
@pytest.mark.parametrize("method", [OtMapping(), Jdot()], ids=["ot-mapping", "jdot"])
@pytest.mark.parametrize("items", [40, 30])
def test_a_shift_is_undone(method: Method, items: int) -> None:
    """The target's left is where the source's right was."""
    torch.manual_seed(0)
    (x, y), (target, truth) = clusters(0.0, 4.0), clusters(4.0, 8.0, items)
    model = method.build(Backbone(nn.Identity(), 2, []), TASK)
    fit(method, model, Labelled(x, y, torch.arange(len(x))), TASK, target)
    assert (model(target).argmax(1) == truth).all()
    # With shots it goes on from there, on them alone.
    shots = Labelled(target[:4], truth[:4], torch.arange(4))
    fit(method, model, shots, Task("target", TASK.classes, 16, seed=0), target)
    assert (model(target).argmax(1) == truth).all()


@transport
@pytest.mark.parametrize("method", [OtMapping(most=20), Jdot(most=20)], ids=["ot-mapping", "jdot"])
def test_a_plan_has_a_bound(method: Method) -> None:
    """Items are listed class by class, and those that take part are of both."""
    torch.manual_seed(0)
    x, y = clusters(0.0, 4.0, 200)
    order = y.argsort(stable=True)
    target, truth = clusters(4.0, 8.0, 200)
    model = method.build(Backbone(nn.Identity(), 2, []), TASK)
    fit(method, model, Labelled(x[order], y[order], torch.arange(200)), TASK, target)
    assert (model(target).argmax(1) == truth).float().mean() > 0.95


def test_classes_keep_their_shares() -> None:
    y = torch.tensor([0, 1, 1] * 4)
    assert y[even_share(y, 6)].tolist() == [0, 0, 1, 1, 1, 1]
    assert sorted(even_share(y, 100).tolist()) == list(range(12))


@transport
def test_a_group_penalty_gives_a_target_item_mass_of_one_class() -> None:
    torch.manual_seed(0)
    (x, y), (target, _) = clusters(0.0, 1.0), clusters(0.0, 1.0, 30)
    cost = torch.cdist(x.double(), target.double()).square()
    purity = []
    for strength in (0.0, 0.3):
        plan = class_plan(cost, y, 0.5, strength)
        for axis, count in ((0, 30), (1, 40)):
            equal = torch.full((count,), 1 / count, dtype=torch.float64)
            torch.testing.assert_close(plan.sum(axis), equal, rtol=0.05, atol=0)
        mass = nn.functional.one_hot(y).double().T @ plan
        purity.append(float(mass.max(0).values.sum()))
    assert purity[1] > purity[0] + 0.05


@transport
def test_an_item_far_from_all_others_keeps_its_mass() -> None:
    """In floating point `exp(-cost / entropic)` is nothing for all of its pairs."""
    cost = torch.tensor([[0.0, 1.0], [1.0, 0.0], [100.0, 101.0]], dtype=torch.float64)
    plan = class_plan(cost, torch.tensor([0, 1, 0]), 0.05, 0.0)
    torch.testing.assert_close(plan.sum(1), torch.full((3,), 1 / 3, dtype=torch.float64), rtol=1e-3, atol=0)
    torch.testing.assert_close(plan.sum(0), torch.full((2,), 1 / 2, dtype=torch.float64), rtol=1e-3, atol=0)


@transport
@pytest.mark.parametrize("method", [OtMapping(), Jdot()], ids=["ot-mapping", "jdot"])
def test_items_that_all_look_alike_leave_a_head_that_is_finite(method: Method) -> None:
    y = torch.arange(20) % 2
    model = method.build(Backbone(nn.Identity(), 2, []), TASK)
    fit(method, model, Labelled(torch.ones(20, 2), y, torch.arange(20)), TASK, torch.ones(20, 2))
    assert model(torch.ones(20, 2)).isfinite().all()


def test_prototypes_move_between_clusters_of_unlabelled_images() -> None:
    """One shot a class, both on the same side of their clusters."""
    torch.manual_seed(0)
    y = torch.arange(80) % 2
    angles = (60.0 * y + 10 * torch.randn(80)).deg2rad()
    queries = 5 * torch.stack([angles.cos(), angles.sin()], 1)
    shots = torch.tensor([-25.0, 35.0]).deg2rad()
    data = Labelled(torch.stack([shots.cos(), shots.sin()], 1), torch.arange(2), torch.arange(2))
    task = Task("target", TASK.classes, 16, seed=0)
    accuracy = []
    for steps in (0, 1000):
        method = Tim(steps=steps, step_size=1e-3)
        model = method.build(Backbone(nn.Identity(), 2, []), task)
        fit(method, model, data, task, queries)
        accuracy.append(float((model(queries).argmax(1) == y).float().mean()))
    assert accuracy[0] < 0.9
    assert accuracy[1] > 0.97


@pytest.mark.parametrize("method", ["jdot", "ot-mapping"])
def test_without_pot_a_cell_is_skipped_in_a_line(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.method.maths.transport.find_spec", lambda name: None)
    record, predictions = answer(tiny_cell(method, shots=0), tmp_path)
    assert (record.outcome.status, record.outcome.reason) == (
        "skipped",
        f"{method} needs POT: pip install pot",
    )
    assert not predictions
