"""Cells whose targets have parts: what is trained on and tested, sharing, interruptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.data.dataset import Dataset
from bench.data.splits import subset
from bench.engine.evaluation.evaluator import Evaluator
from bench.method.registry import family, method_modules
from bench.records.store import Store
from bench.report.scores.parts import part_accuracies
from bench.spec.cell import Cell, Federation, Part, Stream
from tests.contracts.test_resume import interrupted
from tests.support.cells import CLASSES, NORMLESS, TINY, answer, assert_equal, steps_of, tiny_cell
from tests.support.checkout import bench

METHODS = sorted(name for name in method_modules() if family(name) == "continual")
FEDERATED = sorted(name for name in method_modules() if family(name) == "federated")
ROW = tuple(Part(domain=name, classes=CLASSES) for name in ("google", "twitter", "apple"))
GROUPS = tuple(Part(domain="twitter", classes=classes) for classes in (CLASSES[2:], CLASSES[:2]))


def in_a_row(method: str, parts: tuple[Part, ...] = ROW, **changes: Any) -> Cell:
    cell = tiny_cell(method, None, **changes)
    scenario = cell.scenario.model_copy(update={"kind": "continual", "target": "all", "parts": parts})
    return cell.model_copy(update={"scenario": scenario})


def beside(
    method: str, parts: tuple[Part, ...] = ROW[:2], local_steps: int = 2, rounds: int = 3, **changes: Any
) -> Cell:
    cell = tiny_cell(method, None, **changes)
    federation = Federation(rounds=rounds, local_steps=local_steps)
    update = {"kind": "federated", "target": "all", "parts": parts, "federation": federation}
    return cell.model_copy(update={"scenario": cell.scenario.model_copy(update=update)})


@pytest.mark.parametrize("method", [*METHODS, "linear-probe", "ncm", "l2-sp"])
def test_all_tasks_are_tested_after_each(method: str, emoji: Dataset, tmp_path: Path) -> None:
    record, predictions = answer(in_a_row(method), tmp_path)
    assert record.outcome.status == "done", f"{record.outcome.reason}\n{record.outcome.log}"
    assert list(record.cost.stages) == ["task-1", "task-2", "task-3"]
    tested = [subset(emoji, part.domain, CLASSES, "test") for part in ROW]
    np.testing.assert_array_equal(
        predictions["target-test/labels"], np.concatenate([items.labels for items in tested])
    )
    np.testing.assert_array_equal(
        predictions["target-test/parts"], np.repeat([0, 1, 2], [len(items) for items in tested])
    )
    parts = part_accuracies(record, predictions)
    assert parts
    assert parts.matrix.shape == (3, 3)
    # The mean over images, by parts of their sizes.
    share = np.average(parts.last, weights=[len(items) for items in tested])
    assert share / 100 == pytest.approx(record.evaluations[-1].accuracy["target-test"])
    if family(method) == "continual" and method not in ("naive", "joint"):
        assert record.details["task-3"]["bytes_kept"] > 0


def test_labels_of_groups_are_those_of_the_one_head(emoji: Dataset, tmp_path: Path) -> None:
    execution = steps_of(in_a_row("joint", GROUPS, shots="all"), tmp_path)
    execution.open()
    first, second = execution.stages
    for stage, classes in ((first, CLASSES[2:]), (second, CLASSES[:2])):
        items = execution.partitions.of(stage.labelled)
        expected = subset(emoji, "twitter", CLASSES, "train")
        mine = np.isin(expected.labels, [CLASSES.index(name) for name in classes])
        assert set(zip(items.subset.rows, items.subset.labels, strict=True)) == set(
            zip(expected.rows[mine], expected.labels[mine], strict=True)
        )
    assert second.replay == first.labelled


def test_only_joint_sees_earlier_tasks(tmp_path: Path) -> None:
    for method in METHODS:
        execution = steps_of(in_a_row(method), tmp_path)
        seen = [stage.replay is not None for stage in execution.stages]
        assert seen == ([False, True, True] if method == "joint" else [False] * 3)
        assert not any(stage.unlabelled for stage in execution.stages)


@pytest.mark.parametrize("method", [*METHODS, "linear-probe"])
def test_sharing_changes_no_prediction(method: str, tmp_path: Path) -> None:
    cell = in_a_row(method, GROUPS)
    _, alone = answer(cell, tmp_path / "alone")
    answer(in_a_row(method, GROUPS[::-1]), tmp_path / "shared")
    _, shared = answer(cell, tmp_path / "shared")
    assert_equal(alone, shared)


@pytest.mark.parametrize("method", METHODS)
def test_a_cell_goes_on_in_any_task(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = in_a_row(method, augment="rand-augment")
    record, predictions = answer(cell, tmp_path / "undisturbed")
    moments = {("task-1 stage", 2), ("task-2 stage", 1), ("task-2 stage", 6), ("task-3 stage", 3)}
    again, resumed, times = interrupted(cell, tmp_path / "disturbed", monkeypatch, moments)
    assert (again.outcome.status, times) == ("done", 4), again.outcome.reason
    assert_equal(resumed, predictions)
    assert again.evaluations == record.evaluations
    assert again.details == record.details
    assert again.cost.streams == record.cost.streams
    assert list((tmp_path / "disturbed" / "checkpoints").iterdir()) == [], "done is done"


def test_tuning_holds_shots_of_every_task_out(tmp_path: Path) -> None:
    execution = steps_of(in_a_row("naive", fold=0), tmp_path)
    execution.open()
    held = execution.partitions.held_out["shots-validation"]
    np.testing.assert_array_equal(np.bincount(held.subset.labels), [3] * 4)
    trained = np.concatenate([execution.partitions.of(s.labelled).subset.rows for s in execution.stages])
    assert not np.isin(held.subset.rows, trained).any()


@pytest.mark.parametrize("method", METHODS)
def test_continual_methods_need_tasks(method: str, tmp_path: Path) -> None:
    record, _ = answer(tiny_cell(method), tmp_path)
    assert record.outcome.status == "skipped"
    assert record.outcome.reason == f"{method} needs several tasks in a row, and kind 'cross-domain' has none"


@pytest.mark.parametrize("method", [*FEDERATED, "full-finetune"])
def test_clients_are_tested_by_part(method: str, emoji: Dataset, tmp_path: Path) -> None:
    record, predictions = answer(beside(method), tmp_path)
    assert record.outcome.status == "done", f"{record.outcome.reason}\n{record.outcome.log}"
    assert record.cost.streams == {"target/labelled": 6 * 16}
    parts = part_accuracies(record, predictions)
    assert parts
    assert parts.names == ("google", "twitter")
    assert parts.matrix.shape == (1, 2)
    sent = record.details.get("target", {}).get("bytes_sent", 0)
    assert (sent > 0) == (method in ("fedavg", "fedprox", "fedbn", "scaffold"))


@pytest.mark.parametrize("network", [TINY, NORMLESS])
def test_fedavg_of_one_client_and_one_local_step_is_plain_training(network: str, tmp_path: Path) -> None:
    shape = {"parts": ROW[:1], "local_steps": 1, "rounds": 6, "backbone": network}
    _, one = answer(beside("fedavg", **shape), tmp_path)
    _, plain = answer(beside("centralised", **shape), tmp_path)
    assert_equal(one, plain)


def test_each_client_is_tested_by_its_own_network(tmp_path: Path) -> None:
    """A network for each of two clients, and the server's, whose head is turned around in one client."""
    execution = steps_of(beside("local-only"), tmp_path)
    execution.open()
    model = execution.build(execution.stages[0])
    evaluator = Evaluator(execution.cell, execution.method, execution.partitions, execution.cost_tracker)
    before = evaluator.outputs(model, execution.partitions.held_out)["target-test"].logits
    head = execution.method.of_client(model, 1).head
    with torch.no_grad():
        head.weight.neg_()
        head.bias.neg_()
    after = evaluator.outputs(model, execution.partitions.held_out)["target-test"].logits
    own = execution.partitions.parts["target-test"] == 1
    np.testing.assert_array_equal(before[~own], after[~own])
    assert not np.array_equal(before[own], after[own])


@pytest.mark.parametrize("method", FEDERATED)
def test_a_federation_goes_on(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = beside(method, augment="rand-augment")
    record, predictions = answer(cell, tmp_path / "undisturbed")
    moments = {("target stage", 1), ("target stage", 4)}
    again, resumed, times = interrupted(cell, tmp_path / "disturbed", monkeypatch, moments)
    assert (again.outcome.status, times) == ("done", 2), again.outcome.reason
    assert_equal(resumed, predictions)
    assert again.details == record.details


@pytest.mark.parametrize("cell", [in_a_row("naive"), beside("fedavg")], ids=["tasks", "clients"])
def test_a_recorded_cell_can_be_asked_again(cell: Cell, tmp_path: Path) -> None:
    record, predictions = answer(cell, tmp_path / "artifacts")
    Store(tmp_path / "results").write(record, predictions)
    asked = ("run", "--cell", record.key, "--results", str(tmp_path / "results"), "--plan")
    ran = bench(*asked, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert record.key in ran.stdout


@pytest.mark.parametrize("method", FEDERATED)
def test_federated_methods_need_clients(method: str, tmp_path: Path) -> None:
    for cell, kind in ((tiny_cell(method), "cross-domain"), (in_a_row(method), "continual")):
        record, _ = answer(cell, tmp_path)
        assert record.outcome.status == "skipped"
        assert record.outcome.reason == f"{method} needs several clients, and kind '{kind}' has none"


@pytest.mark.parametrize("method", ["full-finetune", "t3a"])
def test_a_stream_keeps_its_order(method: str, emoji: Dataset, tmp_path: Path) -> None:
    cell = tiny_cell(method, shots=0)
    scenario = cell.scenario.model_copy(update={"stream": Stream(batch=16, order="by-class")})
    record, predictions = answer(cell.model_copy(update={"scenario": scenario}), tmp_path)
    assert record.outcome.status == "done", record.outcome.reason
    order = predictions["target-test/stream"]
    assert (np.diff(predictions["target-test/labels"][order]) >= 0).all()
    assert sorted(order) == [*range(len(order))]
    assert "target-test/stream" not in answer(cell, tmp_path)[1]
