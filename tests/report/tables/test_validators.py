from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.records.record import Evaluation
from bench.records.store import Store
from bench.report.export.writer import export
from bench.report.render.page import render
from bench.report.scores.frame import load_frame
from bench.report.tables.leaderboard import leaderboards
from bench.report.tables.validators import correlation, distances, rankings
from tests.report.synthetic import cell, predictions, record, write


def evaluation(
    step: int, accuracy: float, diversity: float = 1.0, source: float | None = None, **scores: float
) -> Evaluation:
    return Evaluation(
        stage="target",
        step=step,
        accuracy={
            **({} if source is None else {"source-validation": source}),
            "target-validation": 0.0,
            "target-test": accuracy,
        },
        validators=scores,
        discrepancy={"mmd": 0.1 * step},
        diversity=diversity,
    )


def frame(tmp_path: Path, *runs: list[Evaluation], **changes: object) -> pd.DataFrame:
    store = Store(tmp_path)
    for seed, evaluations in enumerate(runs):
        known = {"evaluations": tuple(evaluations), "selected": {"last": 1}, **changes}
        store.write(record(cell(seed=seed), **known), predictions({1: range(20)}))
    return load_frame(store)


def test_rank_correlations_by_hand(tmp_path: Path) -> None:
    """Accuracy 1, 2, 3. snd says 1, 2, 3 and 2, 1, 3; bnm says 3, 2, 1 twice."""
    first = [
        evaluation(1, 0.1, snd=1, bnm=3),
        evaluation(2, 0.2, snd=2, bnm=2),
        evaluation(3, 0.3, snd=3, bnm=1),
    ]
    second = [
        evaluation(1, 0.1, snd=2, bnm=3),
        evaluation(2, 0.2, snd=1, bnm=2),
        evaluation(3, 0.3, snd=3, bnm=1),
    ]
    found = {row.validator: row for row in rankings(frame(tmp_path, first, second))}
    assert found["snd"].spearman == pytest.approx((1 + 0.5) / 2)
    assert found["snd"].kendall == pytest.approx((1 + 1 / 3) / 2)
    assert found["snd"].worst == pytest.approx(0.5)
    assert found["snd"].cells == 2
    assert found["bnm"].spearman == pytest.approx(-1.0)
    assert found["dev"].spearman is None
    assert [row.validator for row in rankings(frame(tmp_path, first, second))][:2] == ["snd", "bnm"]


def test_rules_choose_in_the_last_stage(tmp_path: Path) -> None:
    """Of a second task accuracy is 0.5, 0.4, 0.3 where snd says 5, 6, 7; of the first both were lower."""
    first = [evaluation(step, 0.1 * step, snd=step).model_copy(update={"stage": "task-1"}) for step in (1, 2)]
    second = [evaluation(step, 0.6 - 0.1 * step, snd=4 + step) for step in (1, 2, 3)]
    found = {row.validator: row for row in rankings(frame(tmp_path, [*first, *second]))}
    assert found["snd"].spearman == pytest.approx(-1.0)


def test_a_collapsed_look_ranks_last(tmp_path: Path) -> None:
    evaluations = [
        evaluation(1, 0.3, snd=1),
        evaluation(2, 0.2, snd=0.5),
        evaluation(3, 0.1, diversity=0.0, snd=9),
    ]
    found = {row.validator: row for row in rankings(frame(tmp_path, evaluations))}
    assert found["snd"].spearman == pytest.approx(1.0)


def test_what_cannot_be_said(tmp_path: Path) -> None:
    constant = [evaluation(step, 0.1 * step, snd=1) for step in (1, 2, 3)]
    short = [evaluation(1, 0.1, snd=1), evaluation(2, 0.2, snd=2)]
    found = {row.validator: row for row in rankings(frame(tmp_path, constant, short))}
    assert (found["snd"].spearman, found["snd"].cells, found["snd"].unordered) == (None, 0, 1)
    page = render(frame(tmp_path, constant, short))
    assert "no run has three evaluations that some validator puts in an order" in page
    assert rankings(load_frame(Store(tmp_path / "empty")))[0].spearman is None
    assert distances(load_frame(Store(tmp_path / "empty"))) == []


def test_distances(tmp_path: Path) -> None:
    evaluations = [
        evaluation(1, 0.1, source=0.5),
        evaluation(2, 0.2, source=0.6),
        evaluation(3, 0.3, source=0.7),
    ]
    rows = distances(
        frame(tmp_path, evaluations, evaluations, discrepancy_before={"mmd": 0.5, "proxy-a-distance": 1.0})
    )
    assert [(row.before, row.cells) for row in rows] == [({"mmd": 0.5}, 2)]
    assert rows[0].after["mmd"] == pytest.approx(0.3)
    page = render(frame(tmp_path, evaluations, discrepancy_before={"mmd": 0.5}))
    assert "0.500" in page
    assert "+1.00" in page


def test_distances_are_of_the_same_cells_before_and_after(tmp_path: Path) -> None:
    """The second cell has none afterwards: its 1.5 before is in no mean."""
    store = Store(tmp_path)
    for seed, (before, after) in enumerate(((0.5, {"mmd": 0.3}), (1.5, {}))):
        evaluations = (evaluation(1, 0.1), evaluation(2, 0.2).model_copy(update={"discrepancy": after}))
        known = {"evaluations": evaluations, "selected": {"last": 1}, "discrepancy_before": {"mmd": before}}
        store.write(record(cell(seed=seed), **known), predictions({1: range(20)}))
    (row,) = distances(load_frame(store))
    assert (row.before, row.after, row.cells) == ({"mmd": 0.5}, {"mmd": 0.3}, 1)


def test_transductive_is_marked(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(record(cell(transductive=True)), predictions({0: range(20), 1: range(20)}))
    assert "adapt to the target&#39;s test images" in render(load_frame(store))
    other = Store(tmp_path / "other")
    other.write(record(cell()), predictions({0: range(20), 1: range(20)}))
    assert "Transductive" not in render(load_frame(other))


def test_correlations_are_written_with_a_sign() -> None:
    assert [correlation(x) for x in (0.5, -0.25, -0.001, None)] == ["+0.50", "−0.25", "+0.00", "–"]


def test_evaluations_that_target_labels_choose_are_marked(tmp_path: Path) -> None:
    """The first evaluation, which the oracle chooses, is right on 20 of 40, the last on 10."""
    for changes in ({"headline": "oracle"}, {}):
        write(Store(tmp_path), cell("probe", "photo", "sketch", 0, 0, **changes), 10, first=20)
    frame = load_frame(Store(tmp_path)).set_index("headline")
    assert frame.loc["oracle", "accuracy headline"] == frame.loc["oracle", "accuracy oracle"] == 50.0
    assert frame.loc["last", "accuracy headline"] == frame.loc["last", "accuracy last"] == 25.0
    boards = leaderboards(load_frame(Store(tmp_path)), "probe")
    marked, usual = sorted(boards, key=lambda board: "oracle" not in board.block.title)
    assert "chosen by oracle (uses target labels)" in marked.block.title
    assert "oracle" not in usual.block.title
    assert (marked.best.accuracy, usual.best.accuracy) == (50.0, 25.0)  # type: ignore[union-attr]
    export(load_frame(Store(tmp_path)), tmp_path / "out", "probe", "probe")
    for name in ("leaderboard.md", "leaderboard.csv", "leaderboard.tex", "pairs.csv", "records.csv"):
        assert "oracle" in (tmp_path / "out" / "tables" / name).read_text(), name
