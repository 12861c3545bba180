"""No leak by construction: no target label beyond the shots and no test image within a method's reach.

A probe that declares every access runs as a real cell; at each verb all that its arguments lead to is
searched. Held-out images pass through `predict` (in evaluation mode, without gradients) and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bench.engine.cell.execution
from bench.api import (
    Access,
    Backbone,
    Batch,
    GradientMethod,
    Labelled,
    Method,
    Model,
    StageItems,
    StageName,
    Task,
    Update,
)
from bench.core.errors import UserError
from bench.data.dataset import Dataset, Domain
from bench.data.splits import SPLITS, TEST, TRAIN, VALIDATION, Subset, subset
from bench.engine.cell.execution import CellExecution
from bench.engine.cell.stage import StageRun, Trainer
from bench.engine.evaluation.evaluator import Evaluator
from bench.engine.evaluation.partitions import Partitions, View
from bench.engine.training.batches import Batches, Endless
from bench.engine.training.cost import StageResult
from bench.engine.training.inputs.base import KeptInputs
from bench.engine.training.inputs.image import ImageInputs
from tests.leaks import arrays, reach
from tests.support.cells import steps_of, tiny_cell

ENGINE = (
    CellExecution,
    Partitions,
    View,
    Trainer,
    Evaluator,
    Batches,
    Endless,
    ImageInputs,
    KeptInputs,
    Dataset,
    Domain,
    Subset,
)
"""What holds images or labels of more than a batch."""


class Guard:
    """Knows the target's images and labels, and searches for them."""

    def __init__(self, run: CellExecution, dataset: Dataset, unlabelled: set[str]) -> None:
        self.found: list[str] = []
        self.verbs: set[str] = set()
        self.batches = 0
        self.unlabelled = unlabelled
        self.run, self.dataset = run, dataset
        self.ready = False

    def _prepare(self) -> None:
        """Fingerprints, once the run has opened its images."""
        self.ready = True
        classes = self.run.cell.scenario.target_classes
        every = {split: subset(self.dataset, "twitter", classes, split) for split in SPLITS}
        labelled = self.run.stages[-1].labelled
        shots = set(self.run.partitions.of(labelled).subset.rows.tolist()) if labelled else set[int]()
        self.split_of: dict[bytes, str] = {}
        self.label_of: dict[bytes, int] = {}
        for split, images in every.items():
            x = self.run.partitions.target.inputs.take(images.rows).contiguous().numpy()
            for image, row, label in zip(x, images.rows, images.labels, strict=True):
                self.split_of[image.tobytes()] = "shots" if int(row) in shots else split
                self.label_of[image.tobytes()] = int(label)
        self.secrets = {
            f"{split} labels": images.labels.tolist()
            for split, images in every.items()
            if split != TRAIN or len(images) > len(shots)
        }

    def look(self, verb: str, *roots: Any, batch: Batch | None = None) -> None:
        """Search all that the arguments of a verb lead to."""
        if not self.ready:
            self._prepare()
        self.verbs.add(verb)
        secrets = dict(self.secrets)
        if batch is not None and batch.target_x is not None:
            self.batches += 1
            images = batch.target_x.contiguous().numpy()
            secrets["labels of the unlabelled batch"] = [self.label_of[image.tobytes()] for image in images]
        for item in reach(*roots, batch):
            if isinstance(item, ENGINE):
                self.found.append(f"{verb}: {type(item).__name__}")
            for array in arrays(item):
                self._search(verb, array, secrets)

    def _search(self, verb: str, array: np.ndarray, secrets: dict[str, list[int]]) -> None:
        if array.ndim == 4 and array.dtype == np.float32:
            allowed = {"shots", *self.unlabelled}
            splits = {self.split_of.get(np.ascontiguousarray(image).tobytes()) for image in array}
            self.found += [f"{verb}: {split} image" for split in splits - allowed - {None}]
        if array.ndim == 4 and array.dtype == np.uint8:
            self.found.append(f"{verb}: pixels of a domain")
        if array.ndim == 1 and array.dtype.kind in "iuf":
            self.found += [
                f"{verb}: {name}"
                for name, labels in secrets.items()
                if len(array) >= len(labels) and array[: len(labels)].tolist() == labels
            ]


class Probe(GradientMethod):
    """Uses all verbs, may see all there is, and shows the guard what it was given."""

    access = Access.SOURCE_LABELS | Access.SOURCE_REPLAY | Access.TARGET_IMAGES | Access.TARGET_LABELS
    adapts = True
    second_view = "strong"
    hold_out = 0.25
    guard: Any = None

    def _look(self, verb: str, *given: Any, batch: Batch | None = None) -> None:
        # Its own guard knows everything and is no part of what a method is given.
        mine = {name: value for name, value in vars(self).items() if name != "guard"}
        self.guard.look(verb, mine, *given, batch=batch)

    def split_point(self, backbone: Backbone) -> str | None:
        return None

    def build(self, backbone: Backbone, task: Task) -> Model:
        model = super().build(backbone, task)
        self._look("build", backbone, task, model)
        return model

    def replace_head(self, model: Model, task: Task) -> None:
        self._look("replace_head", model, task)
        super().replace_head(model, task)

    def predict(self, model: Model, x: Tensor) -> tuple[Tensor, Tensor]:
        # Held-out images are what it is for: `x` is not looked at.
        self._look("predict", model)
        return super().predict(model, x)

    def fits(self, stage: StageName) -> bool:
        return stage == "target"

    def fit(self, model: Model, items: StageItems, task: Task) -> dict[str, Any]:
        self._look_at_items("fit", model, items, task)
        return {}

    def refresh_at(self, model: Model) -> tuple[float, ...]:
        return (0.0, 0.5)

    def refresh(self, model: Model, items: StageItems, progress: float) -> None:
        self._look_at_items("refresh", model, items, None)

    def begin(self, model: Model, items: StageItems, task: Task) -> None:
        self._look_at_items("begin", model, items, task)

    def after_step(self, model: Model, progress: float) -> None:
        self._look("after_step", model)

    def finish(self, model: Model, items: StageItems, task: Task) -> None:
        self._look_at_items("finish", model, items, task)

    def _look_at_items(self, verb: str, model: Model, items: StageItems, task: Task | None) -> None:
        self._look(verb, model, items, task, list(items.labelled.batches()))
        assert items.unlabelled is not None
        for x in items.unlabelled.batches():
            self._look(verb, x, batch=Batch(x[:0], torch.zeros(0), target_x=x))

    def trainable(self, model: Model) -> list[dict[str, Any]]:
        self._look("trainable", model)
        return super().trainable(model)

    def optimizer(self, model: Model, task: Task) -> torch.optim.Optimizer:
        self._look("optimizer", model, task)
        return super().optimizer(model, task)

    def validate_at(self, model: Model) -> tuple[float, ...]:
        return (0.5,)

    def on_validation(self, model: Model, held_out: Labelled, progress: float) -> None:
        self._look("judge", model, held_out)

    def report(self, model: Model) -> dict[str, Any]:
        self._look("report", model)
        return {}

    def updates(self, model: Model, batch: Batch, progress: float) -> Iterator[Update]:
        self._look("updates", model, batch=batch)
        for _ in range(2):
            yield self.loss(model, batch, progress), model.parameters()

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        self._look("loss", model, batch=batch)
        assert batch.target_x is not None
        assert batch.target_second is not None
        logits = model(batch.target_x if not len(batch.x) else batch.x)
        return nn.functional.cross_entropy(logits, batch.y if len(batch.y) else logits.argmax(1))


class StreamProbe(Probe):
    """Adapts to test images as they come, which are all that it may see of them."""

    def stream(self, model: Model, batches: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        seen = 0
        for x in batches:
            # The model and the method hold none of these images, and nothing of those that come.
            self._look("stream", model)
            seen += len(x)
            yield self.predict(model, x)
        assert seen


UNSEEN = {
    "episode": "is given a task alone, which `build` is given too",
    "fits": "is given a stage's name",
    "new_head": "is given a task alone, which `build` is given too",
    "of_client": "tells which network answers",
    "refresh_at": "answers moments",
    "schedule": "is given a recipe",
    "split_point": "is given a backbone alone, which `build` is given too",
    "streams": "asks for no argument",
    "tests_by_client": "asks for no argument",
    "trains": "is given a stage's name",
    "unavailable": "asks for no argument",
    "validate_at": "answers moments",
}
"""Verbs that the probe does not search, each with the reason."""


def test_the_probe_searches_every_verb() -> None:
    verbs = {
        name
        for base in (Method, GradientMethod)
        for name, value in vars(base).items()
        if name[0] != "_" and (callable(value) or isinstance(value, classmethod))
    }
    own = {name for cls in (Probe, StreamProbe) for name in vars(cls)}
    assert verbs - UNSEEN.keys() <= own, "search what it is given, or say why not"
    assert UNSEEN.keys() <= verbs


@pytest.fixture
def dataset(emoji: Dataset, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Emoji-Home with the target's images in another order, so that its labels are not also the source's."""
    target = emoji.domains["twitter"]
    order = np.random.default_rng(0).permutation(len(target.names))
    shuffled = replace(
        target,
        names=tuple(target.names[i] for i in order),
        places=tuple(target.places[i] for i in order),
        digests=tuple(target.digests[i] for i in order),
        labels=target.labels[order],
        groups=target.groups[order],
    )
    found = replace(emoji, domains={**emoji.domains, "twitter": shuffled})
    monkeypatch.setattr(bench.engine.cell.execution, "open_again", lambda card, fingerprint: found)
    return found


def probed(
    dataset: Dataset,
    folder: Path,
    shots: int,
    leak: Callable[[CellExecution, Any], None] | None = None,
    probe: type[Probe] = Probe,
    **changes: Any,
) -> Guard:
    """The guard of a finished run; `leak` is called with it and its modules before each stage."""
    run = steps_of(tiny_cell("full-finetune", shots=shots, augment="none", **changes), folder)
    unlabelled = {*SPLITS} if run.cell.unsplit else {TEST if run.cell.transductive else TRAIN}
    guard = Guard(run, dataset, unlabelled)
    run.method = probe(guard=guard)
    if leak:
        opening = run.open

        def open_and_leak() -> None:
            opening()
            train = run.trainer.run

            def leaking(stage: StageRun, *rest: Any) -> StageResult:
                leak(run, stage.model)
                return train(stage, *rest)

            run.trainer.run = leaking  # type: ignore[method-assign]

        run.open = open_and_leak  # type: ignore[method-assign]
    run.run()
    return guard


@pytest.mark.parametrize("shots", [0, 2])
def test_nothing_to_find(dataset: Dataset, tmp_path: Path, shots: int) -> None:
    guard = probed(dataset, tmp_path, shots)
    assert guard.found == []
    assert guard.batches > 3, "the probe did see unlabelled target images"
    verbs = {"build", "trainable", "optimizer", "begin", "refresh", "updates", "loss", "after_step", "finish"}
    assert guard.verbs - {"fit", "judge"} == {*verbs, "predict", "report"}
    assert guard.verbs >= {"fit", "judge"} or not shots


def test_a_stream_leads_to_no_label_and_no_image_that_is_to_come(dataset: Dataset, tmp_path: Path) -> None:
    guard = probed(dataset, tmp_path, 0, probe=StreamProbe)
    assert guard.found == []
    assert "stream" in guard.verbs


def test_a_new_head_is_made_without_labels(dataset: Dataset, tmp_path: Path) -> None:
    guard = probed(dataset, tmp_path, 2, kind="cross-domain-task")
    assert guard.found == []
    assert "replace_head" in guard.verbs


def keep_labels(run: CellExecution, model: Any) -> None:
    model.secret = run.partitions.target.subset.labels


def keep_a_tensor_of_labels(run: CellExecution, model: Any) -> None:
    labels = torch.from_numpy(run.partitions.held_out["target-test"].subset.labels)
    model.register_buffer("secret", labels, persistent=False)


def keep_a_subset(run: CellExecution, model: Any) -> None:
    model.secret = {"deep": [run.partitions.held_out["target-validation"].subset]}


def close_over_the_run(run: CellExecution, model: Any) -> None:
    model.head.register_forward_hook(lambda *_: print(run.cell.key) if run is None else None)


def keep_a_test_image(run: CellExecution, model: Any) -> None:
    items = run.partitions.held_out["target-test"]
    inputs, images = items.inputs, items.subset
    model.secret = inputs.take(images.rows[:1])


def keep_a_view_of_a_training_image(run: CellExecution, model: Any) -> None:
    """The view shows a training image; the memory behind it holds a test image too."""
    items = run.partitions.held_out["target-test"]
    inputs, images = items.inputs, items.subset
    both = np.concatenate([run.partitions.target.subset.rows[:1], images.rows[:1]])
    model.secret = inputs.take(both).contiguous()[:1].detach()


def keep_pixels(run: CellExecution, model: Any) -> None:
    model.secret = run.partitions.target.inputs.pixels  # type: ignore[attr-defined]


LEAKS = {
    keep_labels: "train labels",
    keep_a_tensor_of_labels: "test labels",
    keep_a_subset: "Subset",
    close_over_the_run: "CellExecution",
    keep_a_test_image: "test image",
    keep_a_view_of_a_training_image: "test image",
    keep_pixels: "pixels of a domain",
}


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.__name__)
def test_planted_leaks_are_found(
    dataset: Dataset, tmp_path: Path, leak: Callable[[CellExecution, Any], None]
) -> None:
    guard = probed(dataset, tmp_path, 2, leak)
    assert any(found.endswith(f": {LEAKS[leak]}") for found in guard.found), set(guard.found)


def test_labels_that_slip_into_a_batch_are_found(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the feed handed on the labels of the unlabelled stream."""
    batch = Batches.batch

    def leaking(feed: Batches, step: int) -> Batch:
        assert feed.target
        return replace(batch(feed, step), source_y=feed.target.take(step)[1])

    monkeypatch.setattr(Batches, "batch", leaking)
    assert "loss: labels of the unlabelled batch" in probed(dataset, tmp_path, 0).found


def test_transductive_methods_see_test_images_and_no_label(dataset: Dataset, tmp_path: Path) -> None:
    guard = probed(dataset, tmp_path, 2, transductive=True)
    assert guard.found == []
    assert guard.batches > 3


def test_methods_on_unsplit_domains_see_test_images_and_no_label(dataset: Dataset, tmp_path: Path) -> None:
    guard = probed(dataset, tmp_path, 0, transductive=True, unsplit=True)
    assert guard.found == []
    assert guard.batches > 3


def test_what_the_engine_trains_selects_and_tests_on_is_disjoint(dataset: Dataset, tmp_path: Path) -> None:
    run = steps_of(tiny_cell("dann", shots=2), tmp_path)
    run.open()
    parts = [
        run.partitions.target.subset,
        run.partitions.held_out["target-validation"].subset,
        run.partitions.held_out["target-test"].subset,
    ]
    for i, one in enumerate(parts):
        assert len(one)
        for other in parts[:i]:
            assert not set(one.groups) & set(other.groups)
    assert set(run.partitions.of(run.stages[-1].labelled).subset.rows) <= set(
        run.partitions.target.subset.rows
    )
    assert run.partitions.pool is not None
    assert set(run.partitions.pool.subset.rows) == set(run.partitions.target.subset.rows) - set(
        run.partitions.of(run.stages[-1].labelled).subset.rows
    )
    assert SPLITS == (TRAIN, VALIDATION, TEST)


def test_distances_of_domains_are_to_images_that_no_stage_trains_on(dataset: Dataset, tmp_path: Path) -> None:
    for transductive in (False, True):
        run = steps_of(tiny_cell("dann", shots=2, transductive=transductive), tmp_path)
        run.open()
        validation = run.partitions.held_out["target-validation"].subset
        apart = validation.take(run.partitions.apart)
        assert len(apart) == len(validation)
        for items, view in run.partitions.streams.items():
            assert items.domain != "twitter" or not set(view.subset.rows) & set(apart.rows)


def test_transductive_adapts_to_the_test_images(dataset: Dataset, tmp_path: Path) -> None:
    run = steps_of(tiny_cell("dann", shots=2, transductive=True), tmp_path)
    run.open()
    test = run.partitions.held_out["target-test"].subset
    np.testing.assert_array_equal(run.partitions.target.subset.rows, test.rows)
    assert not set(run.partitions.of(run.stages[-1].labelled).subset.rows) & set(test.rows)
    with pytest.raises(UserError):
        steps_of(tiny_cell("dann", shots=10_000, transductive=True), tmp_path).open()
