from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.api import Batch, GradientMethod, Labelled, Model, Task
from bench.core.errors import CellFailed
from bench.data.dataset import Dataset
from bench.data.splits import Subset, draw_shots, subset
from bench.engine.training.batches import Batches, Endless
from bench.engine.training.inputs.base import KeptInputs
from bench.engine.training.inputs.image import ImageInputs
from bench.engine.training.loop import HeldOut, Hooks, Schedule, Training
from tests.support.cells import CLASSES, steps_of, tiny_cell
from tests.support.checkout import install

TASK = Task("target", ("a", "b"), 2, seed=0)


class Plain(GradientMethod):
    """Descends by exactly the learning rate at each step."""

    learning_rate: float = 1.0

    def optimizer(self, model: Model, task: Task) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.trainable(model), lr=self.learning_rate)

    def trainable(self, model: Model) -> list[dict[str, Any]]:
        return [{"params": [model.head.weight]}]

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        return model.head.weight.sum() - model.head.weight.sum().detach() + progress


class Late(Plain):
    """Two parameters, of which one stands still at first."""

    def trainable(self, model: Model) -> list[dict[str, Any]]:
        return [
            {"params": [model.head.weight]},
            {"params": [model.head.bias], "lr": 0.5, "unfreeze_at": 0.5},
        ]

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        return model.head.weight.sum() + model.head.bias.sum()


class Judging(Plain):
    """Judges at a third and at two thirds, and notes what it was given to judge and to learn from."""

    seen: ClassVar[list[str]] = []

    def validate_at(self, model: Model) -> tuple[float, ...]:
        return (1 / 3, 2 / 3)

    def on_validation(self, model: Model, held_out: Labelled, progress: float) -> None:
        self.seen.append(f"judged {sorted(held_out.x.flatten().tolist())}")

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        self.seen.append(f"learned {sorted(batch.x.flatten().tolist())}")
        return super().loss(model, batch, progress)


class Diverging(Plain):
    """Its loss is not a number from some moment on."""

    after: float = 0.5

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        loss = super().loss(model, batch, progress)
        return loss * (float("nan") if progress > self.after else 1.0)


def network() -> Model:
    head = nn.Linear(1, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return Model(nn.Identity(), head)


def feed() -> Batches:
    data = Subset(np.arange(4), np.arange(4) % 2, np.arange(4, dtype=np.int32))
    return Batches(Endless(KeptInputs(torch.ones(4, 1)), data, 2, seed=0))


def run(method: GradientMethod, model: Model, steps: int, evaluations: int) -> list[tuple[int, float]]:
    seen: list[tuple[int, float]] = []
    Training(
        method,
        model,
        feed(),
        Schedule(TASK, steps, evaluations, "fp32"),
        Hooks(lambda step, loss: seen.append((step, loss))),
    ).run()
    return seen


def test_schedule_by_hand() -> None:
    method = GradientMethod(warmup=0.2)
    assert method.schedule(0.0) == pytest.approx(0.01)
    assert method.schedule(0.1) == pytest.approx(0.5 * (1 + math.cos(0.1 * math.pi)) / 2)
    assert method.schedule(0.5) == pytest.approx(0.5)
    assert method.schedule(1.0) == pytest.approx(0.0)
    assert GradientMethod(warmup=0.0).schedule(0.0) == 1.0
    rates = [method.schedule(step / 100) for step in range(20, 101)]
    assert rates == sorted(rates, reverse=True)


def test_looks_and_mean_losses() -> None:
    # Losses are 0, 1/4, 1/2, 3/4.
    assert run(Plain(), network(), steps=4, evaluations=2) == [(2, 0.125), (4, 0.625)]
    assert run(Plain(), network(), steps=4, evaluations=1) == [(4, 0.375)]
    assert [step for step, _ in run(Plain(), network(), steps=3, evaluations=3)] == [1, 2, 3]


@given(st.integers(1, 400), st.data())
def test_look_steps(steps: int, data: st.DataObject) -> None:
    evaluations = data.draw(st.integers(1, steps))
    places = Schedule(TASK, steps, evaluations, "fp32").evaluation_steps()
    assert len(places) == len(set(places)) == evaluations
    assert places == sorted(places)
    assert (places[0] >= 1, places[-1]) == (True, steps)
    gaps = np.diff([0, *places])
    assert gaps.max() - gaps.min() <= 1, "equally spaced"


def test_steps_follow_the_schedule() -> None:
    model, method = network(), Plain(learning_rate=2.0, warmup=0.5)
    run(method, model, steps=4, evaluations=1)
    expected = sum(method.schedule(progress) for progress in (0, 0.25, 0.5, 0.75))
    assert model.head.weight.item() == pytest.approx(-2.0 * expected)
    by_hand = 0.01 + 0.5 * (1 + math.cos(math.pi / 4)) / 2 + 0.5 + (1 + math.cos(0.75 * math.pi)) / 2
    assert expected == pytest.approx(by_hand)


def test_unfreezing() -> None:
    model, method = network(), Late(warmup=0.0)
    run(method, model, steps=4, evaluations=1)
    weight = sum(method.schedule(progress) for progress in (0, 0.25, 0.5, 0.75))
    bias = sum(0.5 * method.schedule(progress) for progress in (0.5, 0.75))
    assert model.head.weight.item() == pytest.approx(-weight)
    assert model.head.bias.item() == pytest.approx(-bias)


def test_divergence_is_noticed_at_the_next_look() -> None:
    seen: list[int] = []
    with pytest.raises(CellFailed, match=r"diverged: the loss is nan within the first 6 steps"):
        Training(
            Diverging(after=0.5),
            network(),
            feed(),
            Schedule(TASK, 8, 4, "fp32"),
            Hooks(lambda step, loss: seen.append(step)),
        ).run()
    assert seen == [2, 4]


def test_training_mode_comes_back_after_a_look() -> None:
    modes: list[bool] = []

    class Noting(Plain):
        def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
            modes.append(model.training)
            return super().loss(model, batch, progress)

    model = network().eval()
    Training(
        Noting(), model, feed(), Schedule(TASK, 4, 2, "fp32"), Hooks(lambda step, loss: model.eval() and None)
    ).run()
    assert modes == [True] * 4


def test_adamw_by_default() -> None:
    model = network()
    optimizer = GradientMethod(learning_rate=0.01, weight_decay=0.3).optimizer(model, TASK)
    assert isinstance(optimizer, torch.optim.AdamW)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decays == {id(model.head.weight): 0.3, id(model.head.bias): 0.0}
    assert {group["lr"] for group in optimizer.param_groups} == {0.01}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_precisions(precision: Any) -> None:
    """Cross-entropy of a separable problem falls in every precision."""
    torch.manual_seed(0)
    x = torch.randn(32, 8)
    data = Subset(np.arange(32), (x[:, 0] > 0).long().numpy(), np.arange(32, dtype=np.int32))
    model = Model(nn.Identity(), nn.Linear(8, 2))
    losses: list[float] = []
    Training(
        GradientMethod(learning_rate=0.1),
        model,
        Batches(Endless(KeptInputs(x), data, 16, seed=0)),
        Schedule(TASK, 20, 4, precision),
        Hooks(lambda step, loss: losses.append(loss)),
    ).run()
    assert losses[-1] < 0.5 * losses[0]
    assert model.head.weight.dtype == torch.float32


# What a method can reach ------------------------------------------------------------------------------

PROBE = '''"""Probe: keeps whatever it is given.

Nobody 2020. https://example.org/probe
"""

from __future__ import annotations

from typing import Any, ClassVar

from bench.api import Access, Backbone, Batch, GradientMethod, Labelled, Model, StageItems, Task

SEEN: list[tuple[str, Any]] = []


class Probe(GradientMethod):
    """Cross-entropy, and a long memory."""

    access = {access}

    def build(self, backbone: Backbone, task: Task) -> Model:
        SEEN.append(("task", task))
        SEEN.append(("backbone", backbone))
        return super().build(backbone, task)

    def fits(self, stage: str) -> bool:
        return True

    def fit(self, model: Model, items: StageItems, task: Task) -> dict[str, Any]:
        known = items.labelled
        SEEN.append((task.stage, Labelled(known.x, known.y, known.groups)))
        return {{}}

    def optimizer(self, model: Model, task: Task):
        SEEN.append(("stage", task))
        return super().optimizer(model, task)

    def loss(self, model: Model, batch: Batch, progress: float):
        SEEN.append(("model", model))
        SEEN.append(("batch", batch))
        return super().loss(model, batch, progress)
'''
SEVERAL = {
    "default": "Access.SOURCE_LABELS | Access.TARGET_LABELS",
    "replay": "Access.SOURCE_LABELS | Access.SOURCE_REPLAY | Access.TARGET_LABELS",
    "unlabelled": "Access.SOURCE_LABELS | Access.TARGET_IMAGES | Access.TARGET_LABELS",
    "everything": "Access.SOURCE_LABELS | Access.SOURCE_REPLAY | Access.TARGET_IMAGES | Access.TARGET_LABELS",
    "target-only": "Access.TARGET_LABELS",
}


@pytest.fixture(params=SEVERAL)
def probed(
    request: pytest.FixtureRequest, site: Path, tmp_path: Path
) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """An access, and everything that a method with it was given over a whole cell."""
    module = f"someone_probe_{request.param.replace('-', '_')}"
    install(site, f"probe = {module}", **{module: PROBE.format(access=SEVERAL[request.param])})
    steps_of(tiny_cell("probe", augment="none", seed=1), tmp_path).run()
    yield request.param, sys.modules[module].SEEN
    del sys.modules[module]


class Known:
    """Images by content: which domain and row a normalised image is."""

    def __init__(self, emoji: Dataset, inputs: dict[str, ImageInputs]) -> None:
        self.rows: dict[bytes, set[tuple[str, int]]] = {}
        for domain, images in inputs.items():
            everything = np.arange(len(emoji.domains[domain].names))
            for row, image in enumerate(images.take(everything)):
                self.rows.setdefault(image.contiguous().numpy().tobytes(), set()).add((domain, row))

    def __call__(self, x: Tensor) -> list[set[tuple[str, int]]]:
        return [self.rows[image.contiguous().numpy().tobytes()] for image in x]


@pytest.fixture(scope="module")
def known(emoji: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Known:
    run = steps_of(tiny_cell("full-finetune", augment="none", seed=1), tmp_path_factory.mktemp("known"))
    run.run()
    return Known(
        emoji,
        {"google": run.partitions.of(run.stages[0].labelled).inputs, "twitter": run.partitions.target.inputs},
    )  # type: ignore[dict-item]


def check(known: Known, x: Tensor, y: Tensor | None, domain: str, allowed: Subset) -> None:
    """All of x are images of the allowed subset, and y are their labels."""
    labels = dict(zip(allowed.rows.tolist(), allowed.labels.tolist(), strict=True))
    for place, where in enumerate(known(x)):
        rows = [row for name, row in where if name == domain and row in labels]
        assert rows, f"an image that is not to be seen: {where}"
        if y is not None:
            assert int(y[place]) in {labels[row] for row in rows}


def tensors(thing: Any, seen: set[int] | None = None) -> Iterator[Tensor]:
    """Every tensor and array that can be reached from an object over attributes and containers."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, str | bytes | int | float | bool | type(None) | type):
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, np.ndarray):
        yield torch.from_numpy(np.ascontiguousarray(thing)) if thing.dtype != object else torch.zeros(0)
    inside: list[Any] = list(vars(thing).values()) if hasattr(thing, "__dict__") else []
    if isinstance(thing, dict):
        inside += [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set | frozenset):
        inside += list(thing)
    closure = getattr(thing, "__closure__", None) or ()
    for part in [*inside, *(cell.cell_contents for cell in closure)]:
        yield from tensors(part, seen)


def test_a_method_sees_what_it_declares_and_no_more(
    probed: tuple[str, list[tuple[str, Any]]], emoji: Dataset, known: Known
) -> None:
    access, seen = probed
    source = subset(emoji, "google", CLASSES, "train")
    target = subset(emoji, "twitter", CLASSES, "train")
    shots = draw_shots(emoji, "twitter", CLASSES, 2, seed=1)
    stage, counts = "", {"source": 0, "target": 0}
    for kind, thing in seen:
        if kind in ("source", "target"):
            stage = kind
            check(known, thing.x, thing.y, *(("google", source) if stage == "source" else ("twitter", shots)))
        if kind == "stage":
            stage = thing.stage
        if kind != "batch":
            continue
        counts[stage] += 1
        assert set(vars(thing)) == {
            *("x", "y", "source_x", "source_y", "target_x", "target_second", "target_at", "episode"),
            *("domain", "source_domain"),
        }
        assert (thing.domain, thing.source_domain) == (None, None), "there is one source"
        check(known, thing.x, thing.y, *(("google", source) if stage == "source" else ("twitter", shots)))
        replay = stage == "target" and access in ("replay", "everything")
        assert (thing.source_x is not None, thing.source_y is not None) == (replay, replay)
        if replay:
            check(known, thing.source_x, thing.source_y, "google", source)
        assert (thing.target_x is not None) == (access in ("unlabelled", "everything"))
        if thing.target_x is not None:
            check(known, thing.target_x, None, "twitter", target)
    if access == "target-only":
        assert counts["source"] == 0, "it did not ask for source labels"
    else:
        assert counts["source"] > 0
    assert counts["target"] > 0


def test_nothing_held_out_is_within_reach(
    probed: tuple[str, list[tuple[str, Any]]], emoji: Dataset, known: Known
) -> None:
    _, seen = probed
    held_out = {
        (domain, int(row))
        for domain, splits in (("twitter", ("test", "validation")), ("google", ("test", "validation")))
        for split in splits
        for row in subset(emoji, domain, CLASSES, split).rows
    }
    found = 0
    for kind, thing in seen:
        reached = list(tensors(thing))
        for tensor in reached:
            if tensor.ndim == 4 and tensor.shape[1:] == (3, 32, 32):
                found += 1
                assert not any(where <= held_out for where in known(tensor))
        if kind == "batch":  # The labels of what is labelled, and no others.
            whole = {id(tensor) for tensor in reached if not tensor.is_floating_point()}
            assert whole == {id(y) for y in (thing.y, thing.source_y, thing.target_at) if y is not None}
    assert found


def test_replayed_labels_mean_what_the_head_says(site: Path, tmp_path: Path) -> None:
    """With new classes in the target stage, source labels count other classes than the head does."""
    module = "someone_probe_of_new_classes"
    install(site, f"probe = {module}", **{module: PROBE.format(access=SEVERAL["everything"])})
    steps_of(tiny_cell("probe", kind="cross-domain-task"), tmp_path).run()
    seen, stage = sys.modules.pop(module).SEEN, ""
    replayed = 0
    for kind, thing in seen:
        stage = thing.stage if kind == "stage" else stage
        replayed += kind == "batch" and stage == "target" and thing.source_y is not None
    assert replayed == 0


def test_what_is_held_out_is_learned_from_once_nothing_is_left_to_judge() -> None:
    inputs = KeptInputs(torch.arange(4.0).reshape(4, 1))

    def batches(rows: list[int]) -> Batches:
        data = Subset(np.array(rows), np.zeros(len(rows), int), np.arange(len(rows), dtype=np.int32))
        return Batches(Endless(inputs, data, len(rows), seed=0))

    held_out = Labelled(torch.tensor([[3.0]]), torch.zeros(1), torch.zeros(1))
    method = Judging()
    method.seen.clear()
    Training(
        method,
        network(),
        batches([0, 1, 2]),
        Schedule(TASK, 3, 1, "fp32"),
        Hooks(lambda step, loss: None),
        HeldOut(held_out, batches([0, 1, 2, 3])),
    ).run()
    some, everything = "learned [0.0, 1.0, 2.0]", "learned [0.0, 1.0, 2.0, 3.0]"
    assert method.seen == [some, "judged [3.0]", some, "judged [3.0]", everything]
