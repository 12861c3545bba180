"""Closed-form fits within a cell: their part of a budget, and what one stage hands on to the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.method.maths.logistic import USUAL
from bench.spec.cell import Budget
from tests.support.cells import answer, tiny_cell


@pytest.mark.parametrize("method", ["lp-finetune", "wise-ft"])
def test_a_fit_leaves_the_loop_half_of_the_budget(method: str, tmp_path: Path) -> None:
    """Six steps of 16 are fewer images than the source has: a fit of all of them would leave one step."""
    record, _ = answer(tiny_cell(method, shots=0), tmp_path)
    assert record.outcome.status == "done", record.outcome.reason
    assert record.cost.streams == {"source/fitted": 48, "source/labelled": 48}
    assert [evaluation.step for evaluation in record.evaluations] == [2, 3]


def test_a_fit_of_few_images_sees_all_of_them(tmp_path: Path) -> None:
    record, _ = answer(
        tiny_cell("lp-finetune", source=None, budget=Budget(steps=12, batch_size=16)), tmp_path
    )
    assert record.cost.streams == {"target/fitted": 8, "target/labelled": 5 * 16}


@pytest.mark.parametrize("kind", ["cross-domain", "cross-domain-task"])
def test_one_shot_takes_over_the_prior_of_the_source(kind: str, tmp_path: Path) -> None:
    """The penalty is a prior: twice as strong for half as many images, a stage from the cache included."""
    cell = tiny_cell("linear-probe", kind=kind, shots=1)
    for _ in range(2):
        record, _ = answer(cell, tmp_path)
        source, target = record.details["source"], record.details["target"]
        assert source["folds"] > 1
        assert target["folds"] == 0
        assert target["l2"] == pytest.approx(source["l2"] * source["images"] / target["images"])


def test_one_shot_without_a_source_has_the_usual_strength(tmp_path: Path) -> None:
    record, _ = answer(tiny_cell("linear-probe", source=None, shots=1), tmp_path)
    assert record.details["target"] == {"l2": USUAL, "folds": 0, "images": 4}


def test_more_shots_choose_for_themselves(tmp_path: Path) -> None:
    record, _ = answer(tiny_cell("linear-probe", shots=2), tmp_path)
    assert record.details["target"]["folds"] == 2
