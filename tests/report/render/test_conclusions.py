from __future__ import annotations

import pytest

from bench.records.record import Cost
from bench.records.store import Store
from bench.report.render.conclusions import Answer, answer, generality, worth
from bench.report.scores.frame import load_frame
from bench.report.scores.supervision import Supervision
from bench.report.statistics.generality import spreads
from bench.report.statistics.summary import negative_transfer
from bench.report.tables.formats import pace
from bench.report.tables.leaderboard import Block, leaderboard, leaderboards
from bench.spec.cell import Budget
from tests.report import synthetic


def said(store: Store, block: Block, baseline: str = "linear-probe") -> Answer:
    frame = load_frame(store)
    return answer(leaderboard(frame, block, baseline), negative_transfer(frame, baseline))


FIVE = Block("cross-domain", Supervision(5))


def test_a_clear_winner(store: Store) -> None:
    synthetic.fill(store, {"dann": 32, "linear-probe": 20, "maml": 8}, shots=[5], seeds=[0, 1])
    found = said(store, FIVE)
    assert found.decision.best
    assert found.decision.best.method == "dann"
    assert found.decision.cheap is None
    assert found.text.startswith("dann has the highest accuracy, 30.0 points above linear-probe")
    assert "It is told apart from all others." in found.text


def test_what_is_as_good_and_cheaper_is_named(store: Store) -> None:
    for method, right, seconds in (("slow", 21, 30.0), ("quick", 20, 10.0), ("middling", 20, 28.0)):
        measured = Cost(seconds={"data": seconds})
        synthetic.write(store, synthetic.cell(method), right, cost=measured)
    found = said(store, FIVE, "quick")
    best, cheap = found.decision.best, found.decision.cheap
    assert best
    assert cheap
    assert (best.method, cheap.standing.method) == ("slow", "quick")
    assert (pace(cheap.share), cheap.points) == ("3.0× faster", pytest.approx(-2.5))
    assert "quick and middling are not separable from it." in found.text


def test_hardly_cheaper_is_not_cheaper(store: Store) -> None:
    for method, right, seconds in (("slow", 21, 30.0), ("quick", 20, 28.0)):
        synthetic.write(store, synthetic.cell(method), right, cost=Cost(seconds={"data": seconds}))
    assert said(store, FIVE, "quick").decision.cheap is None


def test_what_is_proven_worse_and_takes_no_less_is_to_be_avoided(store: Store) -> None:
    """`quick` loses as much as `dear`, but saves time: that is a choice."""
    for method, right, seconds in (("good", 36, 20.0), ("dear", 8, 60.0), ("quick", 8, 5.0)):
        for seed in (0, 1, 2):
            cost = Cost(seconds={"data": seconds})
            synthetic.write(store, synthetic.cell(method, seed=seed), right, cost=cost)
    found = said(store, FIVE, "good").decision
    assert found.cheap is None
    (worst,) = found.avoid
    assert (worst.standing.method, worst.other) == ("dear", "good")
    assert (worst.points, worst.share) == (pytest.approx(-70.0), pytest.approx(3.0))
    assert found.named == ["good", "dear"]


def test_leads_are_said_to_hold_or_not_on_other_domains(store: Store) -> None:
    gains = {"photo": 6, "sketch": 7, "clip": 8}
    for source in gains:
        for target, gain in gains.items():
            if source != target:
                for seed in (0, 1):
                    synthetic.write(store, synthetic.cell("linear-probe", source, target, 5, seed), 20 + seed)
                    synthetic.write(store, synthetic.cell("dann", source, target, 5, seed), 20 + gain + seed)
    frame = load_frame(store)
    board = leaderboard(frame, FIVE, "linear-probe")
    found = generality({FIVE: spreads(FIVE.of(frame), "linear-probe")}, [board])
    assert found.startswith("On other domains like these the best one's lead over linear-probe holds")
    assert generality({FIVE: []}, [board]) == "How other domains than these would do cannot be said."


def test_negative_transfer_is_counted_in_words(store: Store) -> None:
    for target, right in (("sketch", 10), ("clip", 30)):
        synthetic.write(store, synthetic.cell("full-finetune", "photo", target, 0), 20)
        synthetic.write(store, synthetic.cell("dann", "photo", target, 0), right)
    found = said(store, Block("cross-domain", Supervision(0)), "full-finetune")
    assert "Adapting to unlabelled target images hurt dann on 1 of 2 pairs (clearly on 1)." in found.harm


def test_nothing_to_say(store: Store) -> None:
    synthetic.write(store, synthetic.cell("a", seed=0), 20)
    synthetic.write(store, synthetic.cell("b", seed=1), 20)
    found = said(store, FIVE, "a")
    assert found.decision.best is None
    assert found.text == "Nothing can be compared yet."


def test_what_labels_and_a_source_are_worth(store: Store) -> None:
    synthetic.fill(store, {"a": 10}, shots=[0])
    synthetic.fill(store, {"a": 30}, shots=[5])
    synthetic.fill(store, {"a": 20}, [(None, "sketch"), (None, "photo")], shots=[5])
    frame = load_frame(store)
    boards = [leaderboard(frame, Block(kind, Supervision(5)), "a") for kind in ("cross-domain", "pretrained")]
    labels, source = worth(frame, boards)
    assert "a goes from 25.0 % with no target labels to 75.0 % with 5 labels per class" in labels
    assert "worth +25.0 points" in source


def test_a_source_is_worth_less_than_as_many_steps_without_one(store: Store) -> None:
    """Both stages of 40 steps have 60, as the target stage of 120 has."""
    longer = Budget(steps=120, batch_size=8, evaluations=2)
    synthetic.write(store, synthetic.cell("a", "photo"), 30)
    synthetic.write(store, synthetic.cell("a", None), 20)
    synthetic.write(store, synthetic.cell("a", None, budget=longer), 28)
    frame = load_frame(store)
    (sentence,) = worth(frame, leaderboards(frame, "a"))
    assert "worth +25.0 points" in sentence
    assert "to a with 5 target labels per class, 40 steps, and +5.0" in sentence
    assert sentence.endswith("at equal total steps.")
