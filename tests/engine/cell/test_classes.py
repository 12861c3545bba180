"""Targets with fewer or more classes than the source, and sources that are gone: cells, sharing, resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data.catalog import load_card
from bench.data.dataset import Dataset
from bench.data.splits import pooled, subset
from bench.method.registry import load_method
from bench.records.metrics import with_rejection
from bench.spec.cell import Cell
from tests.contracts.test_resume import interrupted
from tests.support.cells import CLASSES, answer, assert_equal, steps_of, tiny_cell

UNKNOWN = tuple(load_card("emoji-home").classes[4:7])
KINDS: dict[str, dict[str, Any]] = {
    "partial": {"absent": CLASSES[2:]},
    "open": {"unknown": UNKNOWN},
    "source-free": {},
}


def asked(kind: str, method: str = "full-finetune", shots: int = 0) -> Cell:
    return tiny_cell(method, kind=kind, shots=shots, **KINDS[kind])


def test_items_of_absent_and_unknown_classes(emoji: Dataset) -> None:
    everything = subset(emoji, "twitter", (*CLASSES, *UNKNOWN), "test")
    part = pooled(emoji, ["twitter"], CLASSES, "test", absent=CLASSES[2:])
    np.testing.assert_array_equal(part.rows, everything.rows[everything.labels < 2])
    np.testing.assert_array_equal(part.labels, everything.labels[everything.labels < 2])
    more = pooled(emoji, ["twitter"], CLASSES, "test", unknown=UNKNOWN)
    np.testing.assert_array_equal(more.rows, everything.rows)
    np.testing.assert_array_equal(more.labels, np.minimum(everything.labels, 4))


def test_a_partial_target_has_its_classes_alone(tmp_path: Path) -> None:
    run = steps_of(asked("partial", "dann"), tmp_path)
    predictions = run.run()
    parts = run.partitions
    for items in (parts.target, parts.held_out["target-test"], parts.held_out["target-validation"]):
        assert items is not None
        assert {*items.subset.labels.tolist()} == {0, 1}
    assert {*parts.of(run.stages[0].labelled).subset.labels.tolist()} == {0, 1, 2, 3}
    last = run.selected["last"]
    assert predictions[f"look{last}/target-test/logits"].shape[1] == 4, "the head is for the source's classes"


@pytest.mark.parametrize(("method", "columns"), [("full-finetune", 4), ("dann", 4), ("osbp", 5)])
def test_what_is_unknown_is_one_class_to_reject(method: str, columns: int, tmp_path: Path) -> None:
    run = steps_of(asked("open", method), tmp_path)
    predictions = run.run()
    labels = predictions["target-test/labels"]
    assert {*labels.tolist()} == {0, 1, 2, 3, 4}
    assert {*run.partitions.of(run.stages[0].labelled).subset.labels.tolist()} == {0, 1, 2, 3}
    last = run.selected["last"]
    logits = predictions[f"look{last}/target-test/logits"]
    assert logits.shape == (len(labels), columns)
    right = with_rejection(logits.astype(np.float32), 4).argmax(axis=1) == labels
    # Stored logits have fewer digits than those that were scored.
    assert run.evaluations[last].accuracy["target-test"] == pytest.approx(right.mean(), abs=2 / len(labels))


def test_a_source_that_is_gone_is_in_no_later_stage(tmp_path: Path) -> None:
    for shots in (0, 2):
        run = steps_of(asked("source-free", "shot" if shots == 0 else "full-finetune", shots), tmp_path)
        run.run()
        first, second = run.stages
        assert (first.name, first.unlabelled, first.replay) == ("source", None, None)
        assert second.replay is None
        assert "source-validation" not in second.evaluate_on
        assert "source-val" not in run.selected


@pytest.mark.parametrize(
    ("kind", "method", "said"),
    [
        ("source-free", "dann", "dann sees source and target at once, which kind 'source-free' keeps apart"),
        ("partial", "osbp", "osbp needs target images of unknown classes, which this cell has none of"),
    ],
)
def test_what_cannot_be_is_skipped(kind: str, method: str, said: str, tmp_path: Path) -> None:
    record, _ = answer(asked(kind, method), tmp_path)
    assert (record.outcome.status, record.outcome.reason) == ("skipped", said)


@pytest.mark.parametrize(
    ("kind", "method"),
    [("partial", "pada"), ("open", "osbp"), ("open", "full-finetune"), ("source-free", "shot")],
)
def test_sharing_and_interruptions_change_nothing(
    kind: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = asked(kind, method)
    alone, expected = answer(cell, tmp_path / "shared")
    assert alone.outcome.status == "done", f"{alone.outcome.reason}\n{alone.outcome.log}"
    shared, predictions = answer(cell, tmp_path / "shared")
    assert shared.cost.stages["source"].shared_seconds > 0
    assert shared.evaluations == alone.evaluations
    assert_equal(predictions, expected)
    moments = {("adapt stage" if load_method(method).adapts else "source stage", 1)}
    again, resumed, times = interrupted(cell, tmp_path / "disturbed", monkeypatch, moments)
    assert times == 1
    assert again.evaluations == alone.evaluations
    assert_equal(resumed, expected)
