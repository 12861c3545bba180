"""Every method, interrupted in each of its stages and taken up again, answers as if nothing had been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.engine.cell.runner import Context, run_cell
from bench.engine.training import checkpoints
from bench.engine.training.artifacts import Artifacts, unpack
from bench.engine.training.cost import STAGE
from bench.method.registry import load_method
from bench.processes import signals
from bench.records.record import Predictions, Record
from bench.spec.cell import Cell, Episodic, Setting
from tests.contracts.test_methods import METHODS
from tests.support.cells import WHERE, answer, assert_equal, digests, tiny_cell


def interrupted(
    cell: Cell, folder: Path, monkeypatch: pytest.MonkeyPatch, moments: set[tuple[str, int]]
) -> tuple[Record, Predictions, int]:
    """The answer to a cell that is stopped at each of these moments; and how often it was."""
    context = Context("tests", Setting(), WHERE, Artifacts(folder / "artifacts"), folder / "checkpoints")
    left, times = set(moments), 0

    def progress(what: str, done: int, total: int) -> None:
        if (what, done) in left:
            left.remove((what, done))
            signals.request_stop()

    while True:
        monkeypatch.setattr(signals, "_requested", False)
        # Another process has drawn nothing yet, or other things.
        torch.manual_seed(times)
        try:
            return *run_cell(cell, context, digests(cell.method), progress), times
        except signals.Stopped:
            times += 1
            assert list((folder / "checkpoints").iterdir())


MOMENTS = {("source stage", 1), ("source stage", 4), ("target stage", 1), ("target stage", 2)}


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        *((method, {}) for method in METHODS),
        ("nas-lite", {"kind": "cross-domain-task"}),
        # The tiny network has no classifier that it was pretrained with.
        ("co-tuning", {"backbone": "tf_efficientnet_lite0"}),
    ],
)
def test_a_resumed_cell_gives_the_same_answer(
    method: str, changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = tiny_cell(method, augment="rand-augment", **changes)
    record, predictions = answer(cell, tmp_path / "undisturbed")
    again, resumed, times = interrupted(cell, tmp_path / "disturbed", monkeypatch, MOMENTS)
    assert again.outcome == record.outcome
    if record.outcome.status == "skipped":
        pytest.skip(record.outcome.reason)
    assert times >= sum(f"{stage}/labelled" in record.cost.streams for stage in ("source", "target"))
    assert_equal(resumed, predictions)
    assert again.evaluations == record.evaluations
    assert again.details == record.details
    assert again.cost.streams == record.cost.streams
    assert again.cost.parameters_trained == record.cost.parameters_trained
    if times:
        assert list((tmp_path / "disturbed" / "checkpoints").iterdir()) == [], "done is done"


@pytest.mark.parametrize("method", [name for name in METHODS if load_method(name).adapts])
def test_a_stage_without_labels_is_resumed(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = tiny_cell(method, shots=0, augment="rand-augment")
    record, predictions = answer(cell, tmp_path / "undisturbed")
    moments = {("source stage", 2), ("adapt stage", 1), ("adapt stage", 2)}
    again, resumed, times = interrupted(cell, tmp_path / "disturbed", monkeypatch, moments)
    assert again.outcome == record.outcome
    assert record.outcome.status == "done", record.outcome.reason
    assert times == (3 if "adapt/unlabelled" in record.cost.streams else 1)
    assert_equal(resumed, predictions)
    assert again.evaluations == record.evaluations
    assert again.cost.streams == record.cost.streams


def test_a_fit_that_tells_nothing_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint of the loop holds what the closed form found, even if that is nothing."""
    method = load_method("lp-finetune")
    fit = method.fit
    monkeypatch.setattr(method, "fit", lambda *given: fit(*given) and {})
    cell = tiny_cell("lp-finetune")
    record, predictions = answer(cell, tmp_path / "undisturbed")
    moments = {("source stage", 1), ("target stage", 1)}
    again, resumed, times = interrupted(cell, tmp_path / "disturbed", monkeypatch, moments)
    assert (again.outcome.status, times) == ("done", 2)
    assert_equal(resumed, predictions)
    assert again.details == record.details


def test_episodes_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = tiny_cell("linear-probe", source=None, shots=1, episodes=Episodic(way=3, queries=2, count=5))
    record, predictions = answer(cell, tmp_path / "undisturbed")
    again, resumed, times = interrupted(
        cell, tmp_path / "disturbed", monkeypatch, {("episodes", 1), ("episodes", 3)}
    )
    assert (again.outcome.status, times) == ("done", 2)
    assert_equal(resumed, predictions)
    assert again.cost.streams == record.cost.streams
    assert again.details == record.details


def test_seconds_add_up_over_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was spent before is in the record, and what the process that goes on spends on catching up too."""
    cell = tiny_cell()
    context = Context("tests", Setting(), WHERE, Artifacts(tmp_path / "a"), tmp_path / "checkpoints")

    def stop(what: str, done: int, total: int) -> None:
        if (what, done) == ("source stage", 4):
            signals.request_stop()

    monkeypatch.setattr(signals, "_requested", False)
    with pytest.raises(signals.Stopped):
        run_cell(cell, context, digests(cell.method), stop)
    (path,) = (tmp_path / "checkpoints").iterdir()
    spent = _longer(path, f"{STAGE}source", 1000.0)
    assert spent > 0
    monkeypatch.setattr(signals, "_requested", False)
    record, _ = run_cell(cell, context, digests(cell.method), lambda *_: None)
    assert 1000 < record.cost.stages["source"].seconds < 2000
    assert 0 < record.cost.stages["target"].seconds < 1000


def _longer(path: Path, phase: str, by: float) -> float:
    """Let a checkpoint say that a phase had taken longer; what it had said."""
    found = unpack(path)
    assert found
    tensors, kept = found
    said = kept["seconds"][phase]
    kept["seconds"][phase] += by
    checkpoints.pack(path, tensors, kept)
    return float(said)


@pytest.mark.parametrize("harm", ["cut", "empty", "garbage", "other"])
def test_a_damaged_checkpoint_is_no_checkpoint(
    harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = tiny_cell()
    record, predictions = answer(cell, tmp_path / "undisturbed")
    context = Context("tests", Setting(), WHERE, Artifacts(tmp_path / "a"), tmp_path / "checkpoints")
    monkeypatch.setattr(signals, "_requested", True)
    with pytest.raises(signals.Stopped):
        run_cell(cell, context, digests(cell.method), lambda *_: None)
    (path,) = (tmp_path / "checkpoints").iterdir()
    content: dict[str, Any] = {
        "cut": path.read_bytes()[:-100],
        "empty": b"",
        "garbage": b"\x80\x04" * 500,
        "other": b"PK\x03\x04",
    }
    path.write_bytes(content[harm])
    monkeypatch.setattr(signals, "_requested", False)
    again, resumed = run_cell(cell, context, digests(cell.method), lambda *_: None)
    assert again.evaluations == record.evaluations
    assert_equal(resumed, predictions)


def test_without_a_folder_nothing_is_kept_and_nobody_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "_requested", True)
    record, _ = answer(tiny_cell(), tmp_path)
    assert record.outcome.status == "done"
