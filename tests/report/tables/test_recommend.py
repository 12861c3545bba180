"""Which method for which budget."""

from __future__ import annotations

import pytest

from bench.records.record import Cost, StageCost
from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.scores.supervision import Supervision
from bench.report.tables.leaderboard import Block
from bench.report.tables.recommend import advise
from tests.report import synthetic

FIVE = Block("cross-domain", Supervision(5))


def fill(store: Store, rights: dict[str, int], seconds: dict[str, float]) -> None:
    for method, right in rights.items():
        for source, target in (("photo", "sketch"), ("sketch", "photo")):
            measured = Cost(stages={"target": StageCost(seconds=seconds[method])})
            synthetic.write(store, synthetic.cell(method, source, target), right, cost=measured)


def test_the_best_and_the_cheap_one_beside_it(store: Store) -> None:
    fill(store, {"a": 36, "b": 35, "c": 10}, {"a": 100.0, "b": 10.0, "c": 1.0})
    advice = advise(load_frame(store), FIVE)
    assert advice is not None
    assert [(row.method, row.accuracy, row.seconds) for row in advice.candidates] == [
        ("a", 90.0, 100.0),
        ("b", 87.5, 10.0),
        ("c", 25.0, 1.0),
    ]
    assert [row.separable for row in advice.candidates] == [False, False, True]
    assert advice.cheapest.method == "b"
    assert sum(row.chance for row in advice.candidates) == pytest.approx(1.0)
    # b is right wherever a is but on one image: it is never ahead, and ties where that one is not drawn.
    assert 0.5 < advice.candidates[0].chance < 1.0
    assert advice.candidates[2].chance == 0.0
    assert advice.cells == 2


def test_seconds_rule_methods_out(store: Store) -> None:
    fill(store, {"a": 36, "b": 20, "c": 10}, {"a": 100.0, "b": 10.0, "c": 1.0})
    advice = advise(load_frame(store), FIVE, max_seconds=10.0)
    assert advice is not None
    assert [row.method for row in advice.candidates] == ["b", "c"]
    assert advice.too_dear == ("a",)
    nothing = advise(load_frame(store), FIVE, max_seconds=0.1)
    assert nothing is not None
    assert nothing.candidates == ()


def test_nothing_done_is_nothing_said(store: Store) -> None:
    store.write(synthetic.record(synthetic.cell("a"), "failed", "diverged"), {})
    assert advise(load_frame(store), FIVE) is None
