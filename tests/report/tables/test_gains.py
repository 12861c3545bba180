"""Gains over plain methods, curves over shots, architectures."""

from __future__ import annotations

import pytest

from bench.records.store import Store
from bench.report.figures.drawing import method_styles
from bench.report.figures.figures import shots_curves
from bench.report.render.page import render
from bench.report.scores.frame import load_frame
from bench.report.tables.gains import architectures, by_shots, gains
from bench.spec.cell import Episodic
from tests.report import synthetic


def test_gains_by_hand(store: Store) -> None:
    synthetic.fill(store, {"linear-probe": 20, "scratch": 8, "dann": 32}, shots=[5])
    found = {row.method: row.over for row in gains(load_frame(store))}
    assert {m: {n: g.points for n, g in over.items()} for m, over in found.items()} == {
        "dann": {"linear-probe": 30.0, "scratch": 60.0},
        "linear-probe": {"linear-probe": None, "scratch": 30.0},
        "scratch": {"linear-probe": -30.0, "scratch": None},
    }
    assert found["dann"]["scratch"].clear


def test_no_reference_no_gains(store: Store) -> None:
    synthetic.fill(store, {"dann": 32}, shots=[5])
    assert gains(load_frame(store)) == []
    assert "<dd>none of linear-probe and scratch shares a question" in render(load_frame(store))


def test_a_curve_is_over_the_same_pairs(store: Store) -> None:
    """The pair that lacks 0 shots, where it is easy, does not lift the curve at 5."""
    synthetic.write(store, synthetic.cell("a", "photo", "sketch", 0), 10)
    synthetic.write(store, synthetic.cell("a", "photo", "sketch", 5), 20)
    synthetic.write(store, synthetic.cell("a", "sketch", "photo", 5), 40)
    synthetic.write(store, synthetic.cell("b", "photo", "sketch", "all"), 30)
    table = by_shots(load_frame(store), "cross-domain")
    assert table.columns.tolist() == ["0", "5", "all"]
    assert table.loc["a", ["0", "5"]].tolist() == [25.0, 50.0]
    assert table.loc["b"].dropna().to_dict() == {"all": 75.0}
    ((kind, picture),) = shots_curves(load_frame(store), method_styles(["a", "b"]))
    assert kind == "cross-domain"
    assert "a 25.0 at 0, 50.0 at 5; b 75.0 at all" in picture.alt


def test_episodes_are_no_point_of_a_curve(store: Store) -> None:
    plain = synthetic.cell("a")
    form = plain.scenario.model_copy(update={"episodes": Episodic(way=4)})
    synthetic.write(store, plain, 20)
    synthetic.write(store, plain.model_copy(update={"scenario": form}), 30)
    frame = load_frame(store)
    assert sorted(frame["shots"]) == ["5", "5, 4-way"]
    assert by_shots(frame, "cross-domain").to_dict() == {"5": {"a": 50.0}}
    assert "5 labelled target images per class, 4-way episodes" in render(frame)


def test_architectures_are_counted(store: Store) -> None:
    for seed, head in enumerate(("mlp", "mlp", "<b>linear</b>")):
        synthetic.write(
            store,
            synthetic.cell("nas-lite", seed=seed),
            10 * (seed + 1),
            details={"target": {"architecture": {"tap": "both", "head": head}}},
        )
    synthetic.write(store, synthetic.cell("dann"), 10)
    frame = load_frame(store)
    found = architectures(frame)
    assert [(row.parts, row.cells, row.accuracy) for row in found] == [
        ("head mlp, tap both", 2, pytest.approx(37.5)),
        ("head <b>linear</b>, tap both", 1, pytest.approx(75.0)),
    ]
    page = render(frame)
    assert "head mlp, tap both" in page
    assert "<b>linear</b>" not in page
