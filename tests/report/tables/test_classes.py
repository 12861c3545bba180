from __future__ import annotations

import pytest

from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.tables.classes import Confusion, Gap, winners_and_losers
from tests.report import synthetic


def test_winners_losers_and_confusions_by_hand(store: Store) -> None:
    # Image i is of class i % 4; a wrong one is given to the next class.
    base = [i for i in range(40) if i % 4 in (0, 1)]
    other = [i for i in range(40) if i % 4 in (0, 2)] + [3, 7]
    for method, right in (("linear-probe", base), ("b", other)):
        store.write(synthetic.record(synthetic.cell(method)), synthetic.predictions({0: right, 1: right}))
    mine, reference = winners_and_losers(load_frame(store), "linear-probe")
    assert mine.won == [Gap("class 2", 100.0), Gap("class 3", 20.0)]
    assert mine.lost == [Gap("class 1", -100.0)]
    assert mine.confused == [
        Confusion("class 1", "class 2", 10, pytest.approx(100.0)),
        Confusion("class 3", "class 0", 8, pytest.approx(80.0)),
    ]
    assert (reference.won, reference.lost) == ([], [])
    assert mine.names == {f"class {i}" for i in range(4)}


def test_without_the_baseline_there_are_confusions_only(store: Store) -> None:
    synthetic.write(store, synthetic.cell("a"), 20)
    (found,) = winners_and_losers(load_frame(store), "linear-probe")
    assert (found.won, found.lost) == ([], [])
    assert found.confused


def test_nothing_done_nothing_said(store: Store) -> None:
    store.write(synthetic.record(synthetic.cell(), "failed", "diverged"), {})
    assert winners_and_losers(load_frame(store), "linear-probe") == []
