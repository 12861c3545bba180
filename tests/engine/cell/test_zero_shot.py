"""Classes that are known by their names alone: what is trained on, what is tested, and who is skipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.data.catalog import load_card
from bench.data.dataset import Dataset
from bench.data.splits import subset
from bench.method.registry import select_methods
from bench.report.scores.retrieval import recall
from bench.spec.cell import Cell, Scenario
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import ScenarioTable, Suite
from tests.contracts.test_resume import interrupted
from tests.support.cells import CLASSES, answer, assert_equal, steps_of, tiny_cell

NAMED = select_methods(["family:zeroshot"])
OLD, NEW = CLASSES[:2], CLASSES[2:]
TINY = {"encoder": "tiny_encoder.untrained"}


def named(method: str = "name-contrast") -> Cell:
    """Two classes of google with images, two by their names."""
    cell = tiny_cell(method, kind="zero-shot", shots=0, overrides=TINY)
    sides = {"source_classes": OLD, "target": "google", "target_classes": NEW}
    return cell.model_copy(update={"scenario": Scenario(**{**cell.scenario.model_dump(), **sides})})


@pytest.mark.parametrize("method", NAMED)
def test_new_classes_are_tested_and_nothing_else_is_seen_of_them(
    method: str, emoji: Dataset, tmp_path: Path
) -> None:
    run = steps_of(named(method), tmp_path)
    predictions = run.run()
    parts = run.partitions
    assert (parts.target, parts.pool) == (None, None)
    assert {(items.domain, items.classes) for items in parts.streams} == {("google", OLD)}
    (evaluation,) = run.evaluations
    assert (evaluation.stage, evaluation.accuracy.keys()) == ("names", {"target-test"})
    expected = subset(emoji, "google", NEW, "test")
    np.testing.assert_array_equal(predictions["target-test/labels"], expected.labels)
    np.testing.assert_array_equal(predictions["target-test/items"], expected.rows)
    assert predictions["look0/target-test/logits"].shape == (len(expected), len(NEW))
    assert run.selected == {"last": 0}


@pytest.mark.parametrize("method", NAMED)
def test_a_shared_source_and_an_interruption_change_nothing(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, expected = answer(named(method), tmp_path / "shared")
    assert record.outcome.status == "done", f"{record.outcome.reason}\n{record.outcome.log}"
    assert record.cost.items_seen > 0
    shared, predictions = answer(named(method), tmp_path / "shared")
    assert shared.cost.stages["source"].shared_seconds > 0
    assert shared.evaluations == record.evaluations
    assert_equal(predictions, expected)
    if method == "name-contrast":
        again, resumed, times = interrupted(
            named(method), tmp_path / "cut", monkeypatch, {("source stage", 4)}
        )
        assert times == 1
        assert again.evaluations == record.evaluations
        assert_equal(resumed, expected)


def test_other_methods_have_no_head_for_names_and_these_need_them(tmp_path: Path) -> None:
    cell = named().model_copy(update={"method": "full-finetune", "overrides": {}})
    record, predictions = answer(cell, tmp_path)
    assert predictions == {}
    said = "full-finetune has no head for classes that are known by their names alone"
    assert (record.outcome.status, record.outcome.reason) == ("skipped", said)
    for method in NAMED:
        record, _ = answer(tiny_cell(method, shots=0), tmp_path)
        assert record.outcome.reason.endswith("by their names alone, which kind 'cross-domain' lacks")


def test_a_suite_asks_for_halves_of_the_classes() -> None:
    suite = Suite(
        name="names",
        description="",
        dataset="emoji-home",
        backbones=["test_efficientnet.untrained"],
        domains=["google"],
        classes=6,
        methods=["eszsl"],
        scenarios=[ScenarioTable(kind="zero-shot", shots=[0])],
    )
    (cell,) = plan(suite, load_card("emoji-home"))
    scenario = cell.scenario
    assert (scenario.source, scenario.target) == ("google", "google")
    assert not {*scenario.source_classes} & {*scenario.target_classes}
    assert len(scenario.source_classes) == len(scenario.target_classes) == 3


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({"shots": [5]}, "names new classes, and shows no item of them: use shots = \\[0\\]"),
        ({"shots": [0], "sources": ["twitter"]}, "stays in one domain"),
    ],
)
def test_what_a_table_may_not_say(table: dict[str, object], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        ScenarioTable(kind="zero-shot", **table)  # type: ignore[arg-type]


def test_recall_by_hand(tmp_path: Path) -> None:
    """Seven names: the right one is third, sixth, and one of seven that are alike, with three before it."""
    record, _ = answer(named("eszsl"), tmp_path)
    logits = np.zeros((3, 7), np.float16)
    logits[0] = [0, -1, -2, -3, -4, -5, -6]
    logits[1] = [0, -1, -2, -3, -4, -5, -6]
    predictions = {"look0/target-test/logits": logits, "target-test/labels": np.array([2, 5, 3], np.int16)}
    assert recall(record, predictions) == pytest.approx(100 * 2 / 3)
    assert np.isnan(recall(record, {}))
    predictions["look0/target-test/logits"][0] = np.nan
    assert recall(record, predictions) == pytest.approx(100 / 3), "what decides nothing is wrong"
