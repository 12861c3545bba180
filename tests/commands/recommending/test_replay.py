"""Replays of schedules: by hand, and on the committed records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from bench.commands.recommending import schedules
from bench.commands.recommending.replay import (
    DEFAULT,
    ROWS,
    Known,
    known_of,
    replay,
    replay_elsewhere,
    replay_label_free,
    replay_steps,
    simulate,
)
from bench.commands.recommending.trials import Arm, Question, Trial, choosable
from bench.core.errors import UserError
from bench.records.baselines import BASELINES
from bench.records.record import Evaluation
from bench.records.store import Store
from tests.report.synthetic import cell, predictions, record

GROUP = "cross-domain, no target labels"


def known(method: str, score: float | None, test: float, seconds: float = 1.0, pair: str = "a → b") -> Known:
    return Known(Trial(Question(GROUP, pair, pair), Arm(method, "net")), score, test, seconds)


def test_regret_by_hand() -> None:
    """Validation prefers y, whose test accuracy is 4 points below x's; z could not be run."""
    found = [known("x", 50.0, 64.0, 10.0), known("y", 55.0, 60.0, 30.0), known("z", None, 0.0, 0.0)]
    (outcome,) = replay(found, schedules.everything, schedules.by_score, 1.0)
    assert outcome.arm == Arm("y", "net")
    assert (outcome.regret, outcome.seconds, outcome.matrix) == (4.0, 40.0, 40.0)
    (cheap,) = replay(found, schedules.cheapest_first, schedules.by_score, 0.25)
    assert (cheap.arm, cheap.regret, cheap.seconds) == (Arm("x", "net"), 0.0, 10.0)


def test_what_is_undefined_on_test_items_is_no_regret() -> None:
    """AUC of test items of one class: not 0 %, which made every rival look better."""
    asked = cell(metric="auc")
    accuracy = {"target-validation": 0.6, "target-test": 0.9}
    one = Evaluation(stage="target", step=20, accuracy=accuracy, metric={"target-validation": 0.7})
    done = record(asked, evaluations=(one,), selected={asked.headline: 0})
    assert known_of(done).score is None
    both = one.model_copy(update={"metric": {"target-validation": 0.7, "target-test": 0.8}})
    found = known_of(record(asked, evaluations=(both,), selected={asked.headline: 0}))
    assert (found.score, found.test) == (pytest.approx(70.0), pytest.approx(80.0))


def test_other_pairs_are_known_for_nothing() -> None:
    found = [
        *(known(method, score, score, 10.0) for method, score in (("x", 50.0), ("y", 70.0))),
        *(known(method, score, score, 10.0, "b → a") for method, score in (("x", 60.0), ("y", 40.0))),
    ]
    outcomes = replay_elsewhere(found, schedules.best_elsewhere, schedules.by_score, 0.5)
    assert [outcome.arm.method for outcome in outcomes if outcome.arm] == ["x", "y"], "what the other says"
    assert [outcome.regret for outcome in outcomes] == [20.0, 20.0]
    assert [outcome.seconds for outcome in outcomes] == [10.0, 10.0]


def test_halving_over_steps_by_hand() -> None:
    """Four methods to 4 s each, the better two on to 10: 16 + 12 s; z would have been best in the end."""
    rungs = {"w": (10, 20), "x": (30, 50), "y": (40, 45), "z": (20, 90)}
    found = [
        replace(known(method, last, last, 10.0), rungs=((first, 4.0), (last, 10.0)))
        for method, (first, last) in rungs.items()
    ]
    (outcome,) = replay_steps(found)
    assert (outcome.arm, outcome.seconds, outcome.regret) == (Arm("x", "net"), 28.0, 40.0)


def test_choice_without_labels() -> None:
    found = [replace(known("x", 90.0, 90.0), label_free=0.1), replace(known("y", 10.0, 80.0), label_free=0.2)]
    (outcome,) = replay_label_free(found)
    assert (outcome.arm, outcome.regret) == (Arm("y", "net"), 10.0)


@pytest.fixture(scope="module")
def emoji_home() -> list[Known]:
    records = [each for each in Store(BASELINES / "emoji-home").records() if choosable(each.request.cell)]
    return [known_of(record) for record in records]


def test_the_default_schedule_on_committed_records(emoji_home: list[Known]) -> None:
    """A quarter of the cost, and answers no worse than those of halving, which takes twice as much."""
    outcomes, halved = (ROWS[name](emoji_home, 0.25) for name in (DEFAULT, "halving over methods"))
    assert len(outcomes) == 28
    matrix = sum(each.seconds for each in emoji_home)
    assert sum(row.seconds for row in outcomes) <= 0.25 * matrix
    assert sum(row.seconds for row in halved) > 0.5 * matrix
    assert fmean(row.regret for row in outcomes) < fmean(row.regret for row in halved)


def test_test_items_choose_nothing(emoji_home: list[Known]) -> None:
    turned = [replace(each, test=100 - each.test) for each in emoji_home]
    for name in (DEFAULT, "halving over methods", "other pairs known: portfolio"):
        before, after = (ROWS[name](found, 0.25) for found in (emoji_home, turned))
        assert [(row.arm, row.seconds) for row in before] == [(row.arm, row.seconds) for row in after]


def test_variants_of_a_method_are_arms_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one of weight 1 is best by validation and test items: it is chosen, and nothing is missed."""
    store = Store(tmp_path)
    for weight, share in ((0.5, 0.4), (1.0, 0.8)):
        asked = cell("dann", overrides={"weight": weight})
        accuracy = {"target-validation": share, "target-test": share}
        done = Evaluation(stage="target", step=20, accuracy=accuracy)
        store.write(record(asked, evaluations=(done,), selected={"last": 0}), predictions({0: range(20)}))
    assert simulate(str(tmp_path), 1.0) == 0
    said = capsys.readouterr().out
    assert "1 question, 2 methods: 2 cells" in said
    (row,) = [line for line in said.splitlines() if line.strip().startswith("photo → sketch")]
    assert (row.split()[3:5], "(weight=1.0)" in said) == (["dann", "0.0"], True)


def test_nothing_to_simulate() -> None:
    with pytest.raises(UserError, match="no results folder and no baseline"):
        simulate("emoji-hom", 0.25)
