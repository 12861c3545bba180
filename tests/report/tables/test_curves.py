"""Curves as numbers: by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.records.record import Evaluation
from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.tables.leaderboard import blocks
from bench.report.tables.methods.curves import learning_curves
from tests.report.synthetic import cell, predictions, record

SHORT, LONG = {50: 0.4, 100: 0.6}, {100: 0.2, 200: 0.3}


def fill(store: Store, *runs: dict[int, float]) -> None:
    """A cell for each seed, with these accuracies by step."""
    for seed, run in enumerate(runs):
        evaluations = tuple(
            Evaluation(stage="target", step=step, accuracy={"target-test": share})
            for step, share in run.items()
        )
        done = record(cell("a", seed=seed), evaluations=evaluations, selected={"last": len(run) - 1})
        store.write(done, predictions({len(run) - 1: range(20)}))


def test_a_curve_does_not_fall_because_a_run_was_shorter(tmp_path: Path) -> None:
    """As runs until converged are: (60 + 20) / 2 after 100 steps, and (60 + 30) / 2 after 200, not 30."""
    store = Store(tmp_path)
    fill(store, SHORT, LONG)
    frame = load_frame(store)
    found = learning_curves(frame, blocks(frame)[0])
    assert found is not None
    assert found.places == ["100", "200"]
    (row,) = found.rows
    assert row.values == pytest.approx([40.0, 45.0])
    assert row.change == pytest.approx(5.0)


def test_a_curve_of_runs_of_the_same_steps(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store, SHORT, {50: 0.2, 100: 0.8})
    frame = load_frame(store)
    found = learning_curves(frame, blocks(frame)[0])
    assert found is not None
    assert found.places == ["50", "100"]
    assert found.rows[0].values == pytest.approx([30.0, 70.0])
