"""Cells with several sources, and with a target that nobody sees: what they train on, sharing, resuming."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data.dataset import Dataset
from bench.data.splits import pooled, subset
from bench.engine.training.inputs.pooled import PooledInputs
from bench.method.batch import Access
from bench.method.registry import load_method, select_methods
from bench.records.record import Record
from bench.spec.cell import Budget, Cell
from tests.contracts.test_resume import interrupted
from tests.support.cells import CLASSES, answer, assert_equal, steps_of, tiny_cell

SOURCES = ("apple", "google")


FAMILY = select_methods(["family:generalisation"])


def several(method: str = "full-finetune", kind: str = "multi-source", shots: int = 0) -> Cell:
    return tiny_cell(method, source=SOURCES, kind=kind, shots=shots)


def done(cell: Cell, folder: Path) -> Record:
    record, _ = answer(cell, folder)
    assert record.outcome.status == "done", f"{record.outcome.reason}\n{record.outcome.log}"
    return record


def test_items_of_several_domains_follow_each_other(emoji: Dataset) -> None:
    both = pooled(emoji, SOURCES, CLASSES, "train")
    parts = [subset(emoji, name, CLASSES, "train") for name in SOURCES]
    first = len(emoji.domains["apple"].names)
    np.testing.assert_array_equal(both.rows, np.concatenate([parts[0].rows, parts[1].rows + first]))
    np.testing.assert_array_equal(both.labels, np.concatenate([part.labels for part in parts]))
    np.testing.assert_array_equal(both.groups, np.concatenate([part.groups for part in parts]))


def test_pooled_images_are_those_of_their_domains(tmp_path: Path) -> None:
    run = steps_of(several(), tmp_path)
    run.open()
    both = run.partitions.of(run.stages[0].labelled)
    assert isinstance(both.inputs, PooledInputs)
    alone = steps_of(tiny_cell(source="google", shots=0), tmp_path)
    alone.open()
    google = alone.partitions.of(alone.stages[0].labelled)
    mine = both.take(np.flatnonzero(both.inputs.domains(both.subset.rows) == 1))
    torch.testing.assert_close(
        mine.inputs.take(mine.subset.rows), google.inputs.take(google.subset.rows), rtol=0, atol=0
    )


def test_sources_are_validated_on_together(tmp_path: Path, emoji: Dataset) -> None:
    record, predictions = answer(several(), tmp_path)
    np.testing.assert_array_equal(
        predictions["source-validation/labels"], pooled(emoji, SOURCES, CLASSES, "validation").labels
    )
    assert {"mmd", "proxy-a-distance"} <= record.discrepancy_before.keys()


@pytest.mark.parametrize("method", ["full-finetune", "dann", "maml", *FAMILY])
def test_methods_train_on_several_sources_and_then_on_shots(method: str, tmp_path: Path) -> None:
    record = done(several(method, shots=2), tmp_path)
    assert {evaluation.stage for evaluation in record.evaluations} == {"target"}


@pytest.mark.parametrize("method", FAMILY)
def test_methods_that_generalise_need_no_target(method: str, tmp_path: Path) -> None:
    cell = several(method, "generalise")
    alone, expected = answer(cell, tmp_path / "alone")
    assert alone.outcome.status == "done", f"{alone.outcome.reason}\n{alone.outcome.log}"
    answer(cell, tmp_path / "shared")
    shared, predictions = answer(cell, tmp_path / "shared")
    assert shared.evaluations == alone.evaluations
    assert shared.details == alone.details
    assert_equal(predictions, expected)


@pytest.mark.parametrize("method", FAMILY)
def test_methods_that_generalise_are_resumed(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = several(method, shots=2)
    record, predictions = answer(cell, tmp_path / "undisturbed")
    moments = {("source stage", 1), ("source stage", 4), ("target stage", 2)}
    again, resumed, times = interrupted(cell, tmp_path / "disturbed", monkeypatch, moments)
    assert times == 3
    assert again.evaluations == record.evaluations
    assert again.details == record.details
    assert_equal(resumed, predictions)


def test_one_source_has_nothing_to_be_told_apart(tmp_path: Path) -> None:
    asking = [name for name in FAMILY if Access.SOURCE_DOMAINS in load_method(name).needs]
    assert {"group-dro", "irm", "vrex", "coral-dg", "best-single", "pooled"} == {*asking}
    for name in asking:
        record, _ = answer(tiny_cell(name, shots=0), tmp_path)
        assert record.outcome.reason == f"{name} needs several sources together, and this cell has one"


def test_batches_have_room_for_every_source(tmp_path: Path) -> None:
    small = several("irm").model_copy(update={"budget": Budget(steps=2, batch_size=3, evaluations=1)})
    record, _ = answer(small, tmp_path)
    assert record.outcome.status == "failed"
    assert record.outcome.reason.startswith("batches of 3 have no room for 2 of each of 2 sources")


def test_a_target_that_nobody_sees_is_opened_for_the_test_alone(tmp_path: Path) -> None:
    run = steps_of(several(kind="generalise"), tmp_path)
    run.run()
    parts = run.partitions
    assert parts.target is None
    assert parts.pool is None
    assert parts.held_out.keys() == {"target-test", "source-validation"}
    assert {name for items in parts.streams for name in items.domains} == {*SOURCES}
    assert run.selected.keys() == {"last", "source-val"}, "no other rule has anything to go by"
    for evaluation in run.evaluations:
        assert evaluation.validators == evaluation.discrepancy == {}
    assert run.discrepancy_before == {}


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("dann", "dann needs images of the target, which kind 'generalise' shows nobody"),
        ("adabn", "adabn needs images of the target"),
        ("tent", "tent adapts to test images, which kind 'generalise' shows nobody before"),
    ],
)
def test_methods_that_need_the_target_are_skipped(method: str, said: str, tmp_path: Path) -> None:
    record, predictions = answer(several(method, "generalise"), tmp_path)
    assert (record.outcome.status, predictions) == ("skipped", {})
    assert record.outcome.reason.startswith(said)


def test_a_target_is_not_known_by_what_is_trained(tmp_path: Path) -> None:
    """Of a method that sees no target, kinds share the source stage, and so does every target."""
    first = done(several(), tmp_path)
    assert first.cost.stages["source"].shared_seconds == 0
    unseen = done(several(kind="generalise"), tmp_path / "alone")
    assert [e.accuracy["target-test"] for e in unseen.evaluations] == [
        e.accuracy["target-test"] for e in first.evaluations
    ]


@pytest.mark.parametrize("kind", ["multi-source", "generalise"])
def test_sharing_changes_nothing(kind: str, tmp_path: Path) -> None:
    for shots in (2, 0) if kind == "multi-source" else (0,):
        cell = several(kind=kind, shots=shots)
        alone, expected = answer(cell, tmp_path / f"alone-{shots}")
        answer(cell, tmp_path / "shared")
        shared, predictions = answer(cell, tmp_path / "shared")
        assert shared.cost.stages["source"].shared_seconds > 0
        assert shared.evaluations == alone.evaluations
        assert_equal(predictions, expected)


@pytest.mark.parametrize("kind", ["multi-source", "generalise"])
def test_an_interrupted_cell_goes_on(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = several(kind=kind)
    record, predictions = answer(cell, tmp_path / "undisturbed")
    again, resumed, times = interrupted(cell, tmp_path / "disturbed", monkeypatch, {("source stage", 4)})
    assert times == 1
    assert again.evaluations == record.evaluations
    assert_equal(resumed, predictions)
