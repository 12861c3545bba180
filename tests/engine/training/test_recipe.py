"""The recipe that a suite gives all methods: optimiser, schedule, batch norm, and rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.api import AlignmentMethod, Backbone, GradientMethod, Model, Side, Task
from bench.data.splits import Subset
from bench.engine.training.batches import Batches, Endless
from bench.engine.training.inputs.base import KeptInputs
from bench.engine.training.loop import Hooks, Schedule, Training
from bench.method.batch import Batch
from bench.method.registry import configure, explicit, hyperparameters, search_space
from bench.methods.alignment.mcd import Mcd
from bench.records.store import Store
from bench.spec.cell import Recipe
from tests.contracts.test_resume import interrupted
from tests.support.cells import answer, assert_equal, tiny_cell
from tests.support.checkout import bench


def task(**recipe: Any) -> Task:
    return Task("source", ("a", "b"), 4, 0, Recipe(**recipe))


class Slope(GradientMethod):
    """A loss whose gradient by the head's weight is 1 at each step."""

    def trainable(self, model: Model) -> list[dict[str, Any]]:
        return [{"params": [model.head.weight], "weight_decay": 0.0}]

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        return model.head.weight.sum()


def items(x: Tensor) -> Endless:
    places = np.arange(len(x))
    return Endless(KeptInputs(x), Subset(places, places % 2, places.astype(np.int32)), 4, seed=0)


def train(method: GradientMethod, model: Model, batches: Batches, steps: int, **recipe: Any) -> None:
    Training(
        method, model, batches, Schedule(task(**recipe), steps, 1, "fp32"), Hooks(lambda step, loss: None)
    ).run()


@pytest.mark.parametrize(
    ("schedule", "factors"), [("constant", (1.0, 1.0)), ("inverse", (1.0, (1 + 10 * 0.5) ** -0.75))]
)
def test_nesterov_momentum_and_schedules_by_hand(schedule: str, factors: tuple[float, float]) -> None:
    model = Model(nn.Identity(), nn.Linear(1, 1))
    nn.init.zeros_(model.head.weight)
    batches = Batches(items(torch.zeros(4, 1)))
    train(Slope(learning_rate=0.1), model, batches, 2, optimizer="sgd", schedule=schedule)
    # Momentum 1, then 1.9; a step goes by the gradient and 0.9 of the momentum.
    moved = 0.1 * (factors[0] * (1 + 0.9 * 1) + factors[1] * (1 + 0.9 * 1.9))
    assert model.head.weight.item() == pytest.approx(-moved)


def test_pretrained_layers_at_a_rate_of_their_own() -> None:
    model = Model(Backbone(nn.Linear(3, 3), 3, []), nn.Linear(3, 2))
    optimizer = GradientMethod(learning_rate=0.1).optimizer(model, task(backbone_rate=0.1, optimizer="sgd"))
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    assert isinstance(optimizer, torch.optim.SGD)
    assert rates == {
        id(model.head.weight): (0.1, 0.05),
        id(model.head.bias): (0.1, 0.0),
        id(model.backbone.net.weight): (pytest.approx(0.01), 0.05),
        id(model.backbone.net.bias): (pytest.approx(0.01), 0.0),
    }


def test_new_layers_inside_a_pretrained_network_are_new() -> None:
    """And where nothing is pretrained, all layers are."""
    network = Backbone(nn.Sequential(nn.Linear(3, 3)), 3, [])
    slow = task(backbone_rate=0.1)
    lora = configure("lora", {"learning_rate": 0.1})
    assert isinstance(lora, GradientMethod)
    found = [group["lr"] for group in lora.optimizer(lora.build(network, slow), slow).param_groups]
    assert found == [0.1]
    scratch = configure("scratch", {"learning_rate": 0.1})
    assert isinstance(scratch, GradientMethod)
    model = Model(Backbone(nn.Linear(3, 3), 3, []), nn.Linear(3, 2))
    assert {group["lr"] for group in scratch.optimizer(model, slow).param_groups} == {0.1}


def test_rates_take_the_place_of_usual_defaults_alone() -> None:
    recipe = Recipe(learning_rate=0.02, weight_decay=0.001)
    found = {
        name: [hyperparameters(configure(name, {}, recipe))[key] for key in ("learning_rate", "weight_decay")]
        for name in ("dann", "meta-baseline", "l2-sp")
    }
    assert found == {"dann": [0.02, 0.001], "meta-baseline": [1e-4, 0.001], "l2-sp": [0.02, 0.0]}
    assert "learning_rate" not in hyperparameters(configure("linear-probe", {}, recipe))
    assert search_space("dann", recipe)["learning_rate"]["default"] == 0.02
    # What is the method's own default, said out loud, is no longer the default.
    assert explicit("dann", {"learning_rate": 0.001}, recipe) == {"learning_rate": 0.001}
    assert explicit("dann", {"learning_rate": 0.02}, recipe) == {}
    assert hyperparameters(configure("dann", {"learning_rate": 0.001}, recipe))["learning_rate"] == 0.001


class Seen(AlignmentMethod):
    """Keeps the features of both sides."""

    sides: ClassVar[list[tuple[Tensor, Tensor]]] = []

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        self.sides.append((source.features.detach(), target.features.detach()))
        return source.features.sum() * 0


def network() -> Model:
    return Model(Backbone(nn.BatchNorm1d(3, affine=False), 3, []), nn.Linear(3, 2))


@pytest.mark.parametrize("replays", [False, True])
@pytest.mark.parametrize("how", ["joint", "per-domain", "frozen"])
def test_batch_norm_of_joint_batches(how: str, replays: bool) -> None:
    """Source around 5, target around -5: whose statistics normalise them shows in their means.

    With replayed source items the labelled ones are the target's, whose statistics those are.
    """
    torch.manual_seed(0)
    source, target, shots = 5 + torch.randn(4, 3), -5 + torch.randn(4, 3), -5 + torch.randn(4, 3)
    model = network()
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    Seen.sides.clear()
    labelled, replayed = (items(shots), items(source)) if replays else (items(source), None)
    train(Seen(), model, Batches(labelled, replayed, items(target)), 2, batch_norm=how)
    for of_source, of_target in Seen.sides:
        means = of_source.mean(0), of_target.mean(0)
        if how == "joint":
            assert (means[0] > 0.5).all()
            assert (means[1] < -0.5).all()
        elif how == "frozen":
            torch.testing.assert_close(means, (source.mean(0), target.mean(0)), rtol=1e-4, atol=1e-4)
        else:
            assert means[0].abs().max() < 1e-5
            assert means[1].abs().max() < (1.0 if replays else 1e-5)
    moved = any(not torch.equal(value, before[name]) for name, value in model.backbone.state_dict().items())
    assert moved == (how != "frozen")


@pytest.mark.parametrize("per_domain", [False, True])
@pytest.mark.parametrize("known", [None, True, False])
def test_updates_of_a_game_are_by_the_recipe_too(per_domain: bool, known: bool | None) -> None:
    """`known`: whether the labels of replayed source items are; None: nothing is replayed."""
    torch.manual_seed(0)
    method = Mcd()
    model = Model(Backbone(nn.BatchNorm1d(3), 3, []), method.new_head(3, task()))
    model.per_domain = per_domain
    passes: list[int] = []
    model.backbone.register_forward_pre_hook(lambda module, inputs: passes.append(len(inputs[0])))
    x, y = torch.randn(4, 3), torch.arange(4) % 2
    replayed = (None, None) if known is None else (torch.randn(4, 3), y if known else None)
    for loss, _ in method.updates(model, Batch(x, y, *replayed, target_x=torch.randn(4, 3)), 0.5):
        assert torch.isfinite(loss)
    first = 8 if known else 4
    if not per_domain:
        assert passes == [first] + 5 * [first + 4]
    elif known:
        assert passes == [4, 4] + 5 * [4, 8]
    else:
        assert passes == [4] + 5 * ([8] if known is False else [4, 4])


def test_a_cell_by_sgd_goes_on_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(optimizer="sgd", schedule="inverse", batch_norm="per-domain", learning_rate=0.01)
    cell = tiny_cell("dann", recipe=recipe)
    record, predictions = answer(cell, tmp_path / "undisturbed")
    moments = {("source stage", 4), ("target stage", 2)}
    again, resumed, times = interrupted(cell, tmp_path / "disturbed", monkeypatch, moments)
    assert (record.outcome.status, times) == ("done", 2)
    assert_equal(resumed, predictions)
    assert record.hyperparameters["learning_rate"] == again.hyperparameters["learning_rate"] == 0.01
    other, _ = answer(tiny_cell("dann"), tmp_path / "undisturbed")
    assert other.evaluations != record.evaluations


SUITE = """
description = "tiny"
dataset = "emoji-home"
classes = 4
image_size = 32
backbones = ["test_efficientnet.untrained"]
methods = ["full-finetune"]
[budget]
steps = 2
batch_size = 8
evaluations = 1
[recipe]
optimizer = "sgd"
batch_norm = "frozen"
[[scenarios]]
kind = "cross-domain"
sources = ["google"]
targets = ["twitter"]
shots = [0]
"""


def test_a_suite_says_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SUITE)
    done = bench("run", "--suite", "tiny.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    [record] = Store(tmp_path / "results/tiny").records()
    assert record.request.cell.recipe == Recipe(optimizer="sgd", batch_norm="frozen")
    assert "optimizer sgd, batch norm frozen" in (tmp_path / "results/tiny/report.html").read_text()
    for line, words in [
        ('optimiser = "sgd"', "unknown key 'recipe.optimiser': did you mean 'optimizer'?"),
        ('optimizer = "adam"', "'recipe.optimizer': input should be 'adamw' or 'sgd', not 'adam'"),
        ("learning_rate = 0", "'recipe.learning_rate': input should be greater than 0"),
        ("learning_rate = nan", "'recipe.learning_rate': input should be a finite number"),
    ]:
        (tmp_path / "tiny.toml").write_text(SUITE.replace('optimizer = "sgd"', line))
        refused = bench("run", "--suite", "tiny.toml", cwd=tmp_path)
        assert refused.returncode == 2
        assert refused.stderr.startswith("error: ")
        assert words in refused.stderr
