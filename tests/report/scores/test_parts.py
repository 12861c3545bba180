"""Accuracies by part: metrics of continual learning by hand, and out of stored predictions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.records.record import Evaluation, Predictions, Record
from bench.records.selection import select, stage_ends
from bench.records.store import Store
from bench.report.figures.drawing import method_styles
from bench.report.figures.figures import stream_curves, task_maps
from bench.report.render.page import render
from bench.report.scores.frame import load_frame
from bench.report.scores.parts import PartAccuracies
from bench.report.tables.leaderboard import blocks
from bench.report.tables.scenarios.parts import clients, tasks
from bench.spec.cell import Cell, Federation, Part, Stream
from tests.report.synthetic import CLASSES, cell, logits, record

MATRIX = np.array([[80.0, 20.0, 10.0], [90.0, 70.0, 30.0], [60.0, 50.0, 75.0]])
"""After each task (rows), on each task (columns)."""


def test_metrics_by_hand() -> None:
    """ACC (60 + 50 + 75) / 3. BWT ((60 - 80) + (50 - 70)) / 2. FWT ((20 - 5) + (30 - 10)) / 2.

    Forgetting ((90 - 60) + (70 - 50)) / 2: the best of the first task came after the second.
    """
    parts = PartAccuracies(("a", "b", "c"), MATRIX, np.array([25.0, 5.0, 10.0]))
    assert parts.average == pytest.approx(185 / 3)
    assert parts.backward_transfer == pytest.approx(-20.0)
    assert parts.forward_transfer == pytest.approx(17.5)
    assert parts.forgetting == pytest.approx(25.0)
    assert parts.worst == 50.0


def test_clients_have_no_order() -> None:
    parts = PartAccuracies(("a", "b"), np.array([[60.0, 40.0]]))
    assert (parts.average, parts.worst, parts.in_tasks) == (50.0, 40.0, False)
    assert math.isnan(parts.forgetting)
    assert math.isnan(parts.backward_transfer)
    assert math.isnan(parts.forward_transfer)


def in_a_row(method: str = "naive", seed: int = 0, **changes: Any) -> Cell:
    asked = cell(method, None, seed=seed, **changes)
    parts = tuple(Part(domain=name, classes=CLASSES) for name in ("photo", "sketch"))
    scenario = asked.scenario.model_copy(
        update={"kind": "continual", "target": "photo → sketch", "parts": parts}
    )
    return asked.model_copy(update={"scenario": scenario})


def evaluations() -> tuple[Evaluation, ...]:
    """Two of each of two stages."""
    return tuple(
        Evaluation(stage=f"task-{task}", step=step, accuracy={"target-test": 0.5, "target-validation": 0.5})
        for task in (1, 2)
        for step in (10, 20)
    )


def stored(store: Store, asked: Cell, **arrays: np.ndarray) -> Record:
    """Ten images of each domain: 8 and 2 are right after the first task, 6 and 7 after the second."""
    found: Predictions = {}
    for place, right in ((1, [*range(8), 10, 11]), (3, [*range(6), *range(10, 17)])):
        found[f"look{place}/target-test/logits"], found["target-test/labels"] = logits(right, 20)
    found["before/target-test/logits"], _ = logits([0, 10], 20)
    found["target-test/groups"] = np.arange(20, dtype=np.int32)
    found["target-test/items"] = np.arange(20, dtype=np.int32)
    found["target-test/parts"] = np.repeat([0, 1], 10).astype(np.int16)
    known = {"evaluations": evaluations(), "selected": select(evaluations()), "details": {}}
    known["details"] = {"task-1": {"bytes_kept": 100}, "task-2": {"bytes_kept": 300}}
    return store.write(record(asked, **known), {**found, **arrays})


def test_rules_choose_within_the_last_stage() -> None:
    assert stage_ends(evaluations()) == [1, 3]
    assert select(evaluations())["last"] == 3
    assert select(evaluations())["oracle"] == 3
    first_is_best = [
        each.model_copy(update={"accuracy": {"target-test": 0.5, "target-validation": value}})
        for each, value in zip(evaluations(), (0.9, 0.9, 0.7, 0.6), strict=True)
    ]
    assert select(first_is_best)["oracle"] == 2


def test_the_matrix_is_derived_from_predictions(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stored(store, in_a_row())
    (row,) = load_frame(store).itertuples()
    assert row.parts.names == ("photo", "sketch")
    np.testing.assert_allclose(row.parts.matrix, [[80.0, 20.0], [60.0, 70.0]])
    np.testing.assert_allclose(row.parts.before, [10.0, 10.0])
    assert (row.average, row.worst, row.forgetting) == (65.0, 60.0, 20.0)
    assert (row.backward_transfer, row.forward_transfer) == (-20.0, 10.0)
    assert (row.bytes_kept, row.shots) == (300, "5, 2 domains in a row")


@pytest.mark.parametrize(
    "numbers",
    [
        np.zeros(20, np.int16),
        np.full(20, 5, np.int16),
        np.zeros(3, np.int16),
        np.full(20, 0.5),
        np.full(20, -1),
    ],
)
def test_hostile_parts_are_unreadable(numbers: np.ndarray, tmp_path: Path) -> None:
    store = Store(tmp_path)
    stored(store, in_a_row(), **{"target-test/parts": numbers})
    (row,) = load_frame(store).itertuples()
    assert row.status == "unreadable"


def test_tables_and_maps_are_means_over_orders_and_seeds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for method in ("naive", "replay"):
        for seed in (0, 1):
            stored(store, in_a_row(method, seed))
    frame = load_frame(store)
    rows = tasks(frame)
    assert [(row.method, row.average, row.forgetting, row.cells) for row in rows] == [
        ("naive", 65.0, 20.0, 2),
        ("replay", 65.0, 20.0, 2),
    ]
    (block,) = blocks(frame)
    maps = task_maps(frame, block)
    assert [method for method, _ in maps] == ["naive", "replay"]
    assert "after task 1 80.0, 20.0; after task 2 60.0, 70.0" in maps[0][1].alt
    page = render(frame)
    assert 'id="tasks"' in page
    assert "Forgetting" in page


def test_without_tasks_there_is_no_such_section(tmp_path: Path) -> None:
    store = Store(tmp_path)
    asked = cell()
    store.write(record(asked), {**_plain()})
    page = render(load_frame(store))
    assert 'id="tasks"' not in page
    assert 'href="#tasks"' not in page


def _plain() -> Predictions:
    found: Predictions = {}
    for place in (0, 1):
        found[f"look{place}/target-test/logits"], found["target-test/labels"] = logits(range(10), 20)
    found["target-test/groups"] = np.arange(20, dtype=np.int32)
    return found


@pytest.mark.parametrize("order", [np.arange(3), np.zeros(20, np.int32), np.full(20, 0.5), np.arange(1, 21)])
def test_hostile_streams_are_unreadable(order: np.ndarray, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(record(cell()), {**_plain(), "target-test/stream": order})
    (row,) = load_frame(store).itertuples()
    assert row.status == "unreadable"


def test_accuracy_over_a_stream_by_hand(tmp_path: Path) -> None:
    """The first ten of twenty images are right, and come last: nothing is right up to half of the stream."""
    store = Store(tmp_path)
    order = np.roll(np.arange(20, dtype=np.int32), 10)
    asked = cell()
    scenario = asked.scenario.model_copy(update={"stream": Stream(batch=4)})
    asked = asked.model_copy(update={"scenario": scenario})
    store.write(record(asked), {**_plain(), "target-test/stream": order})
    frame = load_frame(store)
    (block,) = blocks(frame)
    assert block.shots == "5, stream shuffled, 4 at once"
    picture = stream_curves(frame, block, method_styles(["linear-probe"]))
    assert picture
    assert picture.alt.endswith("linear-probe from 0.0 to 50.0.")
    assert "as they come in a stream" in render(frame)


def test_clients_are_compared_with_themselves_alone(tmp_path: Path) -> None:
    """Alone 60 and 70; together 80 and 20: the second client is hurt by 50 points."""
    store = Store(tmp_path)
    for method, right in (("local-only", [*range(6), *range(10, 17)]), ("fedavg", [*range(8), 10, 11])):
        asked = in_a_row(method)
        update = {"kind": "federated", "federation": Federation(rounds=2, local_steps=10)}
        asked = asked.model_copy(update={"scenario": asked.scenario.model_copy(update=update)})
        found: Predictions = {}
        found["look1/target-test/logits"], found["target-test/labels"] = logits(right, 20)
        found["target-test/groups"] = np.arange(20, dtype=np.int32)
        found["target-test/parts"] = np.repeat([0, 1], 10).astype(np.int16)
        sent = {"target": {"bytes_sent": 0 if method == "local-only" else 2**21}}
        store.write(record(asked, details=sent), found)
    frame = load_frame(store)
    together, alone = sorted(clients(frame), key=lambda row: row.method)
    assert (alone.average, alone.worst, alone.hurt, alone.harm) == (65.0, 60.0, 0, None)
    assert (together.average, together.worst, together.sent) == (50.0, 20.0, 2**21)
    assert (together.hurt, together.clients, together.harm) == (1, 2, -50.0)
    assert tasks(frame) == []
    page = render(frame)
    assert 'id="clients"' in page
    assert "fedavg 50.0 for 2,097,152" in page
