"""Verdicts on findings: the rule by hand, and differences of records with known accuracies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.records.selection import select
from bench.records.store import Store
from bench.report.scores.bootstrap import Interval
from bench.report.scores.frame import load_frame
from bench.report.statistics.verdicts import agreement, judge, measure, together
from bench.spec.findings import Ranking
from tests.report.synthetic import IMAGES, cell, predictions, record
from tests.spec.test_findings import comparison


@pytest.mark.parametrize(
    ("expected", "points", "low", "high", "verdict"),
    [
        ("higher", 5.0, 1.0, 9.0, "reproduced"),
        ("higher", 5.0, -1.0, 11.0, "too small to tell"),
        ("higher", 1.0, 0.5, 1.5, "not reproduced"),
        ("higher", 1.5, 0.5, 2.5, "too small to tell"),
        ("higher", -5.0, -9.0, -1.0, "not reproduced"),
        ("higher", 0.0, -1.0, 1.0, "not reproduced"),
        ("lower", -5.0, -9.0, -1.0, "reproduced"),
        ("lower", 5.0, 1.0, 9.0, "not reproduced"),
        ("lower", -1.5, -2.5, -0.5, "too small to tell"),
        ("equal", 0.5, -1.0, 1.9, "reproduced"),
        ("equal", 0.5, -1.0, 2.1, "too small to tell"),
        ("equal", 4.0, 2.1, 5.9, "not reproduced"),
        ("equal", -4.0, -5.9, -2.1, "not reproduced"),
        ("equal", 1.5, 1.1, 1.9, "reproduced"),
    ],
)
def test_the_rule(expected: Any, points: float, low: float, high: float, verdict: str) -> None:
    """Of a margin of two points."""
    asked = comparison(expected=expected, margin=2.0)
    assert judge(asked, points, Interval(low, high), 3) == (verdict, "")
    assert judge(asked, points, Interval(low, high), 2) == ("too small to tell", "2 of 3 seeds")


def test_a_finding_is_reproduced_where_all_of_it_is() -> None:
    assert together(["reproduced", "reproduced"]) == "reproduced"
    assert together(["reproduced", "too small to tell"]) == "too small to tell"
    assert together(["reproduced", "not run", "too small to tell"]) == "not run"
    assert together(["not run", "not reproduced", "reproduced"]) == "not reproduced"


def rows(folder: Path, right: dict[str, list[int]], **changes: Any) -> dict[str, pd.DataFrame]:
    """Frames by method, each right on so many images in each run."""
    store = Store(folder)
    store.prepare()
    asked = {
        method: [cell(method, seed=seed, shots=0, **changes) for seed in range(len(counts))]
        for method, counts in right.items()
    }
    for method, cells in asked.items():
        for each, count in zip(cells, right[method], strict=True):
            # The last evaluation, and an earlier one that `oracle` selects, with five more.
            found = predictions({1: range(count), 0: range(min(count + 5, IMAGES))})
            store.write(record(each), found)
    frame = load_frame(store, per_image=False)
    return {method: frame[frame["key"].isin([c.key for c in cells])] for method, cells in asked.items()}


def test_a_difference_is_paired_by_seed(tmp_path: Path) -> None:
    """All runs differ by eight of forty images: 20 points, whatever the runs have."""
    found = rows(tmp_path, {"a": [38, 28, 18, 33], "b": [30, 20, 10, 25]})
    measured = measure(comparison(margin=5.0), [found["a"], found["b"].iloc[::-1]])
    assert measured.points == pytest.approx(20.0)
    assert measured.sides == pytest.approx((73.125, 53.125))
    assert (measured.pairs, measured.seeds) == (1, 4)
    assert measured.interval
    assert 0 < measured.interval.low < 20 < measured.interval.high
    assert measured.verdict == "reproduced"
    opposite = measure(comparison(margin=5.0), [found["b"], found["a"]])
    assert opposite.points == pytest.approx(-20.0)
    assert opposite.verdict == "not reproduced"


def test_a_difference_of_gains(tmp_path: Path) -> None:
    """The rule `oracle` adds five images to either method, or none where all are right anyway."""
    found = rows(tmp_path, {"a": [20, 22, 24], "b": [40, 40, 40]})
    asked = comparison(
        plus=[{"method": "a", "rule": "oracle"}, {"method": "b"}],
        minus=[{"method": "a"}, {"method": "b", "rule": "oracle"}],
    )
    measured = measure(asked, [found["a"], found["b"], found["a"], found["b"]])
    assert measured.points == pytest.approx(12.5)
    assert measured.sides is None
    assert measured.verdict == "reproduced"


def test_two_that_answer_alike_are_equal(tmp_path: Path) -> None:
    found = rows(tmp_path, {"a": [20, 21, 22], "b": [20, 21, 22]})
    asked = comparison(expected="equal")
    measured = measure(asked, [found["a"], found["b"]])
    assert (measured.points, measured.interval) == (0.0, (0.0, 0.0))
    assert measured.verdict == "reproduced"
    two = [frame[frame["seed"] < 2] for frame in found.values()]
    assert measure(asked, two).why == "2 of 3 seeds"


@pytest.mark.parametrize(
    ("what", "points", "verdict"),
    [("parameters trained", 0.0, "not reproduced"), ("source accuracy", 0.0, "not reproduced")],
)
def test_other_measures(tmp_path: Path, what: Any, points: float, verdict: str) -> None:
    """All records say ten of a thousand parameters, and 80 % of source images."""
    found = rows(tmp_path, {"a": [20, 21, 22], "b": [20, 21, 22]})
    measured = measure(comparison(measure=what), [found["a"], found["b"]])
    assert (measured.points, measured.verdict) == (points, verdict)
    value = {"parameters trained": 1.0, "source accuracy": 80.0}[what]
    assert measured.sides == pytest.approx((value, value))


def test_a_rule_without_its_guard_takes_a_collapsed_model(tmp_path: Path) -> None:
    """The first evaluation has the highest SND and predicts one class: 60 % against 50 %."""
    store = Store(tmp_path)
    store.prepare()
    cells = [cell("a", seed=seed, shots=0) for seed in range(3)]
    for each in cells:
        done = record(each)
        first, last = (
            evaluation.model_copy(update={"validators": {"snd": snd}, "diversity": diversity})
            for evaluation, snd, diversity in zip(done.evaluations, (5.0, 2.0), (0.0, 0.9), strict=True)
        )
        done = record(each, evaluations=(first, last), selected=select((first, last)))
        store.write(done, predictions({0: range(24), 1: range(20)}))
    frame = load_frame(store, cells, per_image=False)
    asked = comparison(
        plus=[{"method": "a", "rule": "snd", "guarded": False}], minus=[{"method": "a", "rule": "snd"}]
    )
    measured = measure(asked, [frame, frame])
    assert measured.sides == pytest.approx((60.0, 50.0))
    assert measured.verdict == "reproduced"
    with pytest.raises(ValueError, match="rule 'last' has no guard"):
        comparison(plus=[{"method": "a", "guarded": False}])


def test_both_sides_are_of_the_metric_of_the_cells(tmp_path: Path) -> None:
    """70 % balanced accuracy, not 60 % accuracy, against the 50 % of both that stored predictions say."""
    store = Store(tmp_path)
    store.prepare()
    cells = [cell("a", seed=seed, shots=0, metric="balanced-accuracy") for seed in range(3)]
    for each in cells:
        first, last = (
            evaluation.model_copy(update={"metric": said, "validators": {"snd": snd}, "diversity": diversity})
            for evaluation, said, snd, diversity in zip(
                record(each).evaluations,
                ({"target-test": 0.7}, {"target-test": 0.5}),
                (5.0, 2.0),
                (0.0, 0.9),
                strict=True,
            )
        )
        done = record(each, evaluations=(first, last), selected=select((first, last)))
        store.write(done, predictions({0: range(24), 1: range(20)}))
    frame = load_frame(store, cells, per_image=False)
    asked = comparison(
        plus=[{"method": "a", "rule": "snd", "guarded": False}], minus=[{"method": "a", "rule": "snd"}]
    )
    assert measure(asked, [frame, frame]).sides == pytest.approx((70.0, 50.0))


@pytest.mark.parametrize(
    ("order", "correlation", "verdict"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], 1.0, "reproduced"),
        ([7, 6, 5, 4, 3, 2, 1, 0], -1.0, "not reproduced"),
        ([1, 0, 3, 2, 5, 4, 7, 6], 1 - 6 * 8 / (8 * 63), "reproduced"),
        ([0, 5, 2, 3, 4, 1, 7, 6], 1 - 6 * 34 / (8 * 63), "too small to tell"),
    ],
)
def test_agreement_of_ranks(order: list[int], correlation: float, verdict: str) -> None:
    """Spearman's 1 - 6 Σd² / (n (n² - 1)) over eight networks."""
    scores = pd.Series({f"net {place}": float(score) for place, score in enumerate(order)})
    cells = pd.DataFrame(
        {
            "backbone": [f"net {place}" for place in range(8)] * 3,
            "seed": [0] * 8 + [1] * 8 + [2] * 8,
            "pair": "pretrained → a",
            "accuracy last": [10.0 * place for place in range(8)] * 3,
        }
    )
    ranking = Ranking(about="", method="linear-probe", margin=0.6)
    measured = agreement(ranking, scores, cells)
    assert measured.points == pytest.approx(correlation)
    assert measured.verdict == verdict
    few = agreement(ranking, scores.head(5), cells)
    assert (few.verdict, few.why) == ("too small to tell", "5 of 6 networks that differ")


def test_what_did_not_run_is_not_judged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare()
    a = [cell("a", seed=seed, shots=0) for seed in range(3)]
    for each in a[:2]:
        store.write(record(each), predictions({0: range(9), 1: range(9)}))
    store.write(record(a[2], status="skipped", reason="needs x: pip install x"), {})
    frame = load_frame(store, a, per_image=False)
    measured = measure(comparison(), [frame, frame])
    assert measured.verdict == "not run"
    assert measured.why == "1 cell skipped: needs x: pip install x"
    assert measure(comparison(), [frame.head(0), frame.head(0)]).verdict == "not run"
    twice = rows(tmp_path / "two", {"a": [9, 9, 9], "b": [9, 9, 9]})
    both = pd.concat([twice["a"], twice["b"]])
    assert "which of several cells" in measure(comparison(), [both, both]).why
