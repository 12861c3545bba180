from __future__ import annotations

import pytest

from bench.records.record import Cost
from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.tables.budgets import budgets
from tests.report import synthetic


def write(store: Store, method: str, streams: dict[str, int], **more) -> None:
    asked = synthetic.cell(method, **more)  # 40 source steps and 20 target steps of 8 images
    synthetic.write(store, asked, 20, cost=Cost(seconds={"data": 1.0}, stages=synthetic.stages(streams)))


def only(store: Store):
    (found,) = budgets(load_frame(store))
    return found


@pytest.mark.parametrize(
    ("streams", "declared", "seen", "off_budget"),
    [
        ({"source/labelled": 320, "target/labelled": 160}, 480, 480, False),
        ({"source/labelled": 320, "target/labelled": 156}, 480, 476, False),
        ({"source/labelled": 320, "target/labelled": 155}, 480, 475, True),
        ({"source/labelled": 330, "target/labelled": 160}, 480, 490, True),
        ({"source/fitted": 77, "target/fitted": 20}, 97, 97, False),
        ({"source/labelled": 320, "target/fitted": 20}, 340, 340, False),
        ({"source/fitted": 80, "source/labelled": 240}, 320, 320, False),
    ],
)
def test_labelled_images_against_the_budget(store: Store, streams, declared, seen, off_budget) -> None:
    write(store, "a", streams)
    budget = only(store)
    assert (budget.declared, budget.labelled, budget.off_budget) == (declared, seen, off_budget)


def test_other_streams_are_shown_apart(store: Store) -> None:
    streams = {"source/labelled": 320, "source/unlabelled": 320, "target/labelled": 160}
    write(store, "dann", streams | {"target/replayed": 160, "target/unlabelled": 160})
    budget = only(store)
    assert budget.extra == {"replayed": 160, "unlabelled": 480}
    assert (budget.deviation, budget.stages, budget.evaluations) == (0.0, "source 40, target 20", "2")


def test_a_stage_without_labelled_images_declares_none(store: Store) -> None:
    write(store, "shot", {"source/labelled": 320, "target/unlabelled": 160})
    budget = only(store)
    assert (budget.declared, budget.labelled, budget.off_budget) == (320, 320, False)
    assert budget.stages == "source 40, target 20"


def test_the_worst_cell_decides(store: Store) -> None:
    write(store, "a", {"source/labelled": 320}, seed=0)
    write(store, "a", {"source/labelled": 300}, seed=1)
    budget = only(store)
    assert budget.deviation == pytest.approx(-20 / 320)
    assert budget.labelled == 310


def test_a_record_without_streams_says_so(store: Store) -> None:
    synthetic.write(store, synthetic.cell("a"), 20)
    budget = only(store)
    assert budget.declared is budget.labelled is budget.deviation is None
    assert not budget.off_budget
    assert budget.extra == {}
