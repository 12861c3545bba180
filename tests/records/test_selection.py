from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records.record import Evaluation
from bench.records.selection import COLLAPSED, RULES, Rule, best, select, validator_scores
from bench.spec.cell import Cell
from bench.spec.rules import VALIDATORS


def evaluation(step: int, source: float | None, target: float) -> Evaluation:
    return Evaluation(
        stage="source",
        step=step,
        accuracy={
            **({} if source is None else {"source-validation": source}),
            "target-validation": target,
            "target-test": 0.0,
        },
    )


def test_by_hand() -> None:
    evaluations = [
        evaluation(1, 0.5, 0.9),
        evaluation(2, 0.7, 0.2),
        evaluation(3, 0.7, 0.3),
        evaluation(4, 0.6, 0.3),
    ]
    selected = select(evaluations)
    assert selected["last"] == 3
    assert selected["source-val"] == 2  # of the two equal ones the one that trained longer
    assert selected["oracle"] == 0


def test_without_source_validation() -> None:
    selected = select([evaluation(1, None, 0.1), evaluation(2, None, 0.0)])
    assert "source-val" not in selected
    assert (selected["last"], selected["oracle"]) == (1, 0)


def test_no_evaluations() -> None:
    assert select([]) == {}


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8))
def test_best(scores: list[float | None]) -> None:
    index = best(scores)
    known = [score for score in scores if score is not None]
    if not known:
        assert index is None
    else:
        assert index is not None
        assert scores[index] == max(known)
        assert max(known) not in scores[index + 1 :]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6), st.data())
def test_rules_that_claim_no_target_labels_use_none(
    values: list[tuple[float, float]], data: st.DataObject
) -> None:
    other = data.draw(st.lists(st.floats(0, 1), min_size=len(values), max_size=len(values)))
    before = [evaluation(step, source, target) for step, (source, target) in enumerate(values)]
    after = [
        old.model_copy(update={"accuracy": {**old.accuracy, "target-validation": new, "target-test": new}})
        for old, new in zip(before, other, strict=True)
    ]
    for rule in RULES:
        if not rule.uses_target_labels:
            assert rule.select(before) == rule.select(after), rule.name


def test_test_accuracy_selects_nothing() -> None:
    """No rule looks at test images, not even the oracle."""
    evaluations = [evaluation(1, 0.5, 0.5), evaluation(2, 0.4, 0.4)]
    shown = [
        old.model_copy(update={"accuracy": {**old.accuracy, "target-test": 1.0 - i}})
        for i, old in enumerate(evaluations)
    ]
    assert select(evaluations) == select(shown)


def test_names() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    usual = Cell.model_fields["headline"].default
    assert usual in names
    assert not next(rule for rule in RULES if rule.name == usual).uses_target_labels
    assert next(rule for rule in RULES if rule.name == "oracle").uses_target_labels


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rules_answer_within_the_evaluations(rule) -> None:
    scores = dict.fromkeys(VALIDATORS, 0.5)
    evaluations = [
        evaluation(step, 0.1 * step, 0.1 * step).model_copy(update={"validators": scores, "diversity": 0.5})
        for step in range(1, 4)
    ]
    assert rule.select(evaluations) == 2, "of equal evaluations the one that trained longest"
    assert rule.select([]) is None


def validated(score: float | None, diversity: float = 1.0) -> Evaluation:
    known = {} if score is None else {"snd": score}
    return evaluation(1, None, 0.5).model_copy(update={"validators": known, "diversity": diversity})


def by(name: str) -> Rule:
    return next(rule for rule in RULES if rule.name == name)


def test_validators_choose_the_highest_score() -> None:
    assert by("snd").select([validated(0.1), validated(0.9), validated(0.3)]) == 1
    assert by("snd").select([validated(None), validated(-0.9), validated(None)]) == 1
    assert by("snd").select([validated(None)]) is None
    assert by("dev").select([validated(0.1)]) is None


@pytest.mark.parametrize("name", VALIDATORS)
def test_a_collapsed_model_does_not_win(name: str) -> None:
    def scored(score: float, diversity: float) -> Evaluation:
        return validated(None, diversity).model_copy(update={"validators": {name: score}})

    assert by(name).select([scored(0.2, 1.0), scored(9.0, COLLAPSED / 2), scored(0.1, 1.0)]) == 0
    # Nothing but collapsed models: none is better than another.
    assert by(name).select([scored(9.0, 0.0), scored(0.1, 0.0)]) == 1
    assert validator_scores([scored(9.0, 0.0), scored(0.1, COLLAPSED)], name) == [-math.inf, 0.1]
