"""Metrics that cannot be said of the items that there are."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from bench.engine.evaluation.evaluator import Evaluator
from bench.records.record import Evaluation, Record
from bench.records.selection import select
from bench.spec.stages import StageSpec
from tests.support.cells import answer, tiny_cell


def kept(labels: dict[str, list[int]]) -> list[Evaluation]:
    """Evaluations of two steps, judged by AUC: the first one right of every item, the second of none."""
    partitions = SimpleNamespace(
        held_out={
            name: SimpleNamespace(subset=SimpleNamespace(labels=np.array(of))) for name, of in labels.items()
        }
    )
    evaluator = Evaluator(tiny_cell(metric="auc"), cast(Any, None), cast(Any, partitions), cast(Any, None))
    for step, sign in ((1, 1.0), (2, -1.0)):
        logits = {name: sign * np.eye(2, dtype=np.float16)[of] for name, of in labels.items()}
        stage = cast(StageSpec, SimpleNamespace(name="source"))
        evaluator.keep(stage, step, None, cast(Any, logits))
    return evaluator.evaluations


def test_no_area_of_one_class_and_no_accuracy_in_its_place() -> None:
    one = {"target-test": [1, 1, 1], "source-validation": [0, 0], "target-validation": [0]}
    evaluations = kept(one)
    assert evaluations[0].accuracy == dict.fromkeys(one, 1.0)
    assert math.isnan(evaluations[0].tested)
    assert {name: evaluations[0].score(cast(Any, name)) for name in one} == dict.fromkeys(one)
    # By accuracy, which is not what the cell is judged by, both rules would select the first.
    assert select(evaluations) == {"last": 1}


def test_an_area_is_said_where_there_is_one() -> None:
    evaluations = kept({"target-test": [1, 1, 1], "source-validation": [0, 1]})
    assert [each.score("source-validation") for each in evaluations] == [1.0, 0.0]
    assert math.isnan(evaluations[0].tested)
    assert select(evaluations) == {"last": 1, "source-val": 0}


def test_records_of_before_say_it_too(tmp_path: Any) -> None:
    """They left out what is undefined, so that accuracy stood where all was."""
    record, _ = answer(tiny_cell("linear-probe"), tmp_path)
    cell = record.request.cell.model_copy(update={"metric": "auc"})
    request = record.request.model_copy(update={"cell": cell})
    older = record.model_copy(update={"key": cell.key, "request": request})
    read = Record.model_validate_json(older.model_dump_json())
    assert all(
        math.isnan(each.tested) and 0 <= each.accuracy["target-test"] <= 1 for each in read.evaluations
    )
    assert Record.model_validate_json(read.model_dump_json()) == read
    assert not record.evaluations[-1].metric
    assert record.evaluations[-1].tested >= 0
