from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest

from bench.records.record import Evaluation
from bench.records.store import Store
from bench.report.scores.frame import COLUMNS, load_frame
from bench.report.scores.supervision import Supervision
from bench.report.tables.gains import gain_parts
from bench.report.tables.leaderboard import leaderboards
from bench.spec.cell import Budget, Cell
from tests.report import synthetic


def test_a_row_says_all_of_a_cell(store: Store) -> None:
    asked = synthetic.cell("dann", shots=5, seed=3)
    synthetic.write(store, asked, right=20, first=10)
    (row,) = load_frame(store).to_dict("records")
    assert row["key"] == asked.key
    assert (row["status"], row["kind"], row["pair"], row["shots"]) == (
        "done",
        "cross-domain",
        "photo → sketch",
        "5",
    )
    assert (row["method"], row["seed"], row["classes"], row["steps"]) == ("dann", 3, 4, 40)
    assert (row["accuracy last"], row["accuracy source-val"], row["accuracy oracle"]) == (50.0, 25.0, 25.0)
    assert row["low"] < 50.0 < row["high"]
    assert (row["seconds_own"], row["seconds_alone"], row["peak_memory_mib"]) == (4.0, 10.0, 2.0)
    assert row["packages"] == "numpy 2.1, torch 2.9"


def test_the_run_that_counts_is_where_the_chain_ends(store: Store) -> None:
    """What other code was given twice the steps for may have converged before, by today's."""

    def run(steps: int, losses: tuple[float, ...], right: int) -> Cell:
        budget = Budget(steps=steps, batch_size=8, evaluations=3, longest=160)
        asked = synthetic.cell(shots=5, budget=budget)
        evaluations = tuple(
            Evaluation(stage="target", step=place + 1, train_loss=loss, accuracy={"target-test": 0.5})
            for place, loss in enumerate(losses)
        )
        synthetic.write(store, asked, right, evaluations=evaluations, selected={"last": 1})
        return asked

    still, stands = (3.0, 2.0, 1.0), (3.0, 1.0, 1.0)
    first = run(40, still, 10)
    run(80, still, 20)
    run(160, still, 30)
    for expected, others in (([first], True), ([], False)):
        assert load_frame(store, expected, others=others)["steps"].tolist() == [160]
    first = run(40, stands, 14)
    for expected, others in (([first], True), ([], False)):
        frame = load_frame(store, expected, others=others)
        assert frame[["steps", "accuracy last"]].to_numpy().tolist() == [[40, 35.0]]
    store.path(first.key).unlink()
    assert load_frame(store, [first], others=True)["steps"].tolist() == [160], "of what is there"


def test_a_control_may_converge_after_other_steps_than_its_method(store: Store) -> None:
    def run(steps: int, losses: tuple[float, ...], right: int, **changes: Any) -> Cell:
        budget = Budget(steps=steps, batch_size=8, evaluations=3, longest=160)
        asked = synthetic.cell("dann", shots=5, budget=budget, **changes)
        evaluations = tuple(
            Evaluation(stage="target", step=place + 1, train_loss=loss, accuracy={"target-test": 0.5})
            for place, loss in enumerate(losses)
        )
        told = {"evaluations": evaluations, "selected": {"last": 1}, "control": {"weight": 0.0}}
        synthetic.write(store, asked, right, **told)
        return asked

    run(40, (3.0, 2.0, 1.0), 10)
    run(80, (3.0, 1.0, 1.0), 24)
    control = run(40, (3.0, 1.0, 1.0), 20, overrides={"weight": 0.0}, control_of=("dann",))
    (parts,) = gain_parts(load_frame(store, [control], others=True), "linear-probe")
    assert (parts.control, parts.idea.points, parts.idea.cells) == ("weight=0.0", 10.0, 1)


def test_no_table_mixes_budgets(store: Store) -> None:
    for steps, right in ((40, 10), (1200, 30), (400, 20)):
        budget = Budget(steps=steps, batch_size=8, evaluations=2)
        synthetic.write(store, synthetic.cell(shots=5, budget=budget), right)
    boards = leaderboards(load_frame(store), "linear-probe")
    shots = "5 labelled target images per class"
    titles = [f"cross-domain, {shots}, {steps} steps" for steps in (40, 400, 1200)]
    assert [board.block.title for board in boards] == titles
    assert [board.rows[0].accuracy for board in boards] == [25.0, 50.0, 75.0]


def test_an_empty_folder_has_all_columns(store: Store) -> None:
    frame = load_frame(store)
    assert frame.empty
    assert tuple(frame.columns) == COLUMNS


def test_expected_cells_without_a_record_are_missing(store: Store) -> None:
    there, absent, other = (synthetic.cell(name) for name in ("dann", "maml", "probe"))
    synthetic.write(store, there, 20)
    synthetic.write(store, other, 20)
    frame = load_frame(store, expected=[there, absent])
    assert list(zip(frame["method"], frame["status"], strict=True)) == [("dann", "done"), ("maml", "missing")]


def test_pretrained_has_no_source_and_the_same_goal(store: Store) -> None:
    synthetic.write(store, synthetic.cell(source="photo"), 20)
    synthetic.write(store, synthetic.cell(source=None), 20)
    frame = load_frame(store).set_index("kind")
    assert frame.loc["pretrained", "pair"] == "pretrained → sketch"
    assert math.isnan(frame.loc["pretrained", "accuracy source-val"])
    assert frame["goal"].nunique() == 1
    assert frame["question"].nunique() == 2


@pytest.mark.parametrize("content", [b"", b'{"key": "half', b"\x00\xff garbage", b"[]", b"{}"])
@pytest.mark.parametrize("expect", [True, False])
def test_garbage_json_is_a_row(store: Store, content: bytes, expect: bool) -> None:
    asked = synthetic.cell()
    synthetic.write(store, asked, 20)
    store.path(asked.key).write_bytes(content)
    (row,) = load_frame(store, [asked] if expect else ()).to_dict("records")
    assert (row["key"], row["status"]) == (asked.key, "unreadable")
    assert row["reason"]
    assert (row["method"] == "linear-probe") is expect


def _remove(path):
    path.unlink()


def _damage(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(("harm", "why"), [(_remove, "missing"), (_damage, "checksum")])
def test_lost_predictions_are_said(store: Store, harm, why: str) -> None:
    record = synthetic.write(store, synthetic.cell(), 20)
    harm(store.predictions_path(record))
    (row,) = load_frame(store).to_dict("records")
    assert row["status"] == "unreadable"
    assert why in row["reason"]
    assert str(store.root) not in row["reason"]


def test_labels_beyond_the_classes_that_are_asked_about(store: Store) -> None:
    asked = synthetic.cell()
    few = asked.scenario.model_copy(update={"target_classes": synthetic.CLASSES[:3]})
    synthetic.write(store, asked.model_copy(update={"scenario": few}), 20)
    (row,) = load_frame(store).to_dict("records")
    assert (row["status"], row["reason"]) == (
        "unreadable",
        "labels beyond the 3 classes that the cell asks about",
    )


def test_done_without_evaluations_or_predictions(store: Store) -> None:
    store.write(
        synthetic.record(synthetic.cell("a"), evaluations=(), selected={}), synthetic.predictions({1: []})
    )
    store.write(synthetic.record(synthetic.cell("b")), {})
    store.write(synthetic.record(synthetic.cell("c")), synthetic.predictions({0: [1]}))
    frame = load_frame(store).set_index("method")
    assert set(frame["status"]) == {"unreadable"}
    assert "no evaluation" in frame.loc["a", "reason"]
    assert "no predictions" in frame.loc["b", "reason"]
    assert "rule 'last'" in frame.loc["c", "reason"]


def test_logits_that_are_not_finite_are_noted(store: Store) -> None:
    arrays = synthetic.predictions({0: range(40), 1: range(40)})
    arrays["look1/target-test/logits"][:10] = np.nan
    store.write(synthetic.record(synthetic.cell()), arrays)
    (row,) = load_frame(store).to_dict("records")
    assert (row["status"], row["accuracy last"]) == ("done", 75.0)
    assert row["note"].startswith("10 test images")


def test_variants_of_a_method_are_told_apart(store: Store) -> None:
    for overrides in ({}, {"weight": 0.5}):
        synthetic.write(store, synthetic.cell("dann", overrides=overrides), 20)
    synthetic.write(store, synthetic.cell("maml", overrides={"inner": 2}), 20)
    assert sorted(load_frame(store)["method"]) == ["dann", "dann (weight=0.5)", "maml"]


def test_shots_are_in_order() -> None:
    given: list[int | Literal["all"]] = ["all", 10, 0, 5]
    assert [each.label for each in sorted(map(Supervision, given))] == ["0", "5", "10", "all"]


def test_names_that_come_with_data_are_only_shown(store: Store) -> None:
    asked = synthetic.cell()
    scenario = asked.scenario.model_copy(
        update={"source": "a\x1b[31m", "target": "\u202eb", "target_classes": ("c\x07", "d")}
    )
    synthetic.write(store, asked.model_copy(update={"scenario": scenario}), 20)
    (row,) = load_frame(store).to_dict("records")
    assert (row["source"], row["target"]) == ("a\\x1b[31m", "\\u202eb")
    assert row["pair"] == "a\\x1b[31m → \\u202eb"
    assert row["class_names"] == ("c\\x07", "d")
