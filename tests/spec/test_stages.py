"""Stages of every scenario kind, by hand."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from bench.spec.cell import Budget, Cell, Episodic, Recipe, Scenario
from bench.spec.scenarios import KINDS, stages
from bench.spec.stages import Items, StageSpec, shared_stages

OLD, NEW = ("cat", "dog"), ("bus", "car")


def cell(kind: str, shots: Any, source: str | None = "photo", classes: Any = OLD, **changes: Any) -> Cell:
    scenario = Scenario(
        kind=kind,
        dataset="d",
        source=source,
        source_classes=OLD if source else (),
        target="sketch",
        target_classes=classes,
        shots=shots,
        episodes=changes.pop("episodes", None),
    )
    budget = Budget(steps=10, batch_size=4, evaluations=2)
    known: dict[str, Any] = {"method": "m", "backbone": "b", "image_size": 32, "augment": "none", "seed": 0}
    return Cell(scenario=scenario, budget=budget, **{**known, **changes})


SOURCE = Items(domain="photo", classes=OLD, part="train")
UNLABELLED = Items(domain="sketch", classes=OLD, part="train")
ON_SOURCE = StageSpec(
    name="source",
    labelled=SOURCE,
    unlabelled=UNLABELLED,
    steps=10,
    evaluate_on=("target-test", "target-validation", "source-validation"),
)
ON_TARGET = StageSpec(
    name="target",
    labelled=Items(domain="sketch", classes=OLD, part="shots"),
    unlabelled=UNLABELLED,
    replay=SOURCE,
    steps=5,
    evaluate_on=("target-test", "target-validation", "shots-validation", "source-validation"),
)


ADAPTING = StageSpec(
    name="adapt",
    labelled=None,
    unlabelled=UNLABELLED,
    replay=SOURCE,
    steps=5,
    evaluate_on=("target-test", "target-validation", "source-validation"),
)


def test_without_shots_there_is_a_stage_without_labels() -> None:
    assert stages(cell("cross-domain", 0)) == [ON_SOURCE, ADAPTING]
    assert ADAPTING.classes == OLD
    assert not ADAPTING.shared


def test_a_source_stage_can_be_that_of_another_method() -> None:
    mine, plain = cell("cross-domain", 0, overrides={"rate": 1.0}), cell("cross-domain", 5, method="plain")
    hidden = [ON_SOURCE.restricted(unlabelled=False, replay=False)]
    (one,), (other,) = shared_stages(mine, hidden, "plain"), shared_stages(plain, hidden)
    assert one.key == other.key
    assert one.key != shared_stages(mine, hidden)[0].key


def test_the_key_of_a_shared_stage_is_the_hash_of_what_decides_it() -> None:
    """Written out by hand, as it was before there were recipes: cells of the usual one share what is kept."""
    text = (
        '{"augment":"none","backbone":"b","budget":{"batch_size":4,"looks":2,"steps":10,"trials":0},'
        '"image_size":32,"method":"m","overrides":{},"precision":"fp32","seed":0,"stage":{"evaluate_on":'
        '["target-test","target-validation","source-validation"],"labelled":{"classes":["cat","dog"],'
        '"domain":"photo","part":"train"},"name":"source","replay":null,"steps":10,"unlabelled":null}}'
    )
    hidden = [ON_SOURCE.restricted(unlabelled=False, replay=False)]
    (usual,) = shared_stages(cell("cross-domain", 0), hidden)
    assert usual.key == sha256(text.encode()).hexdigest()[:16]
    (other,) = shared_stages(cell("cross-domain", 0, recipe=Recipe(schedule="constant")), hidden)
    said = text.replace('"seed":0', '"recipe":{"schedule":"constant"},"seed":0')
    assert other.key == sha256(said.encode()).hexdigest()[:16]


def test_shots_add_a_target_stage() -> None:
    assert stages(cell("cross-domain", 5)) == [ON_SOURCE, ON_TARGET]


def test_without_a_source_there_is_nothing_to_replay() -> None:
    (stage,) = stages(cell("pretrained", 5, source=None))
    assert stage.labelled == ON_TARGET.labelled
    assert stage.replay is None
    assert "source-validation" not in stage.evaluate_on


@pytest.mark.parametrize("kind", ["cross-task", "cross-domain-task"])
def test_a_head_for_new_classes_cannot_score_the_source(kind: str) -> None:
    first, second = stages(cell(kind, 5, classes=NEW))
    assert (first.labelled.classes, second.labelled.classes) == (OLD, NEW)
    assert "source-validation" in first.evaluate_on
    assert "source-validation" not in second.evaluate_on


def test_unsplit_domains_hold_nothing_back() -> None:
    """Trained on is all of the source, and adapted to all of the target; the latter is no other question."""
    source, adapting = stages(cell("cross-domain", 0, transductive=True, unsplit=True))
    whole = [items.model_copy(update={"part": "all"}) for items in (SOURCE, UNLABELLED)]
    assert [source.labelled, source.unlabelled] == whole
    assert [adapting.replay, adapting.unlabelled] == whole


def test_transductive_adapts_to_test_items() -> None:
    for stage in stages(cell("cross-domain", 5, transductive=True)):
        assert stage.unlabelled == Items(domain="sketch", classes=OLD, part="test")


def test_episodes_have_steps_of_their_own() -> None:
    _, stage = stages(cell("cross-domain", 1, episodes=Episodic(way=2, steps=7)))
    assert stage.steps == 7


def test_streams_that_a_method_may_not_see_are_gone() -> None:
    hidden = ON_TARGET.restricted(unlabelled=False, replay=False)
    assert (hidden.unlabelled, hidden.replay) == (None, None)
    assert hidden.labelled == ON_TARGET.labelled
    assert ON_TARGET.restricted(unlabelled=True, replay=True) == ON_TARGET


def test_only_the_source_stage_is_shared() -> None:
    few, many = cell("cross-domain", 1), cell("cross-domain", 5)
    (one,), (other,) = (shared_stages(c, stages(c)) for c in (few, many))
    assert one.stage.name == "source"
    assert one.key == other.key, "shots do not decide it"
    assert shared_stages(cell("pretrained", 5, source=None), stages(cell("pretrained", 5, source=None))) == []


def test_kinds_pair_domains() -> None:
    names = ["a", "b"]
    assert KINDS["cross-domain"].pairs(names, names) == [("a", "b"), ("b", "a")]
    assert KINDS["cross-domain-task"].pairs(names, ["b"]) == [("a", "b")]
    assert KINDS["cross-task"].pairs(names, ["b"]) == [("b", "b")]
    assert KINDS["pretrained"].pairs(names, names) == [(None, "a"), (None, "b")]
