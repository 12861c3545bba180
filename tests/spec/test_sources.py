"""Kinds with several sources: pairs, keys, stages, and tables that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bench.core.errors import UserError
from bench.data.catalog import load_card
from bench.spec.cell import Cell, Scenario
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import ScenarioTable, Suite
from bench.spec.scenarios import stages
from bench.spec.stages import Items
from tests.support.cells import CLASSES, tiny_cell

CARD = load_card("emoji-home")


def suite(table: dict[str, Any], **changes: Any) -> Suite:
    known = {"domains": ["apple", "google", "twitter"], "classes": 3, "dataset": CARD.name, **changes}
    return Suite(
        name="s", description="", backbones=["b"], methods=["full-finetune"], scenarios=[table], **known
    )


def pairs(table: dict[str, Any], **changes: Any) -> list[str]:
    return [cell.scenario.pair for cell in plan(suite(table, **changes), CARD)]


def test_pools_that_are_named() -> None:
    table = {"kind": "multi-source", "sources": [["google", "apple"]], "shots": [0]}
    assert pairs(table) == ["apple + google → twitter"]
    (cell,) = plan(suite(table), CARD)
    assert cell.scenario.source == ("apple", "google"), "in the order of their names"
    assert cell.scenario.sources == ("apple", "google")
    assert cell.scenario.domains == ("apple", "google", "twitter")
    turned = {**table, "sources": [["apple", "google"]]}
    assert [c.key for c in plan(suite(turned), CARD)] == [cell.key]


@pytest.mark.parametrize(
    "table", [{"kind": "multi-source"}, {"kind": "generalise"}, {"kind": "generalise", "hold_out": "each"}]
)
def test_each_domain_from_all_others(table: dict[str, Any]) -> None:
    assert pairs({**table, "shots": [0]}) == [
        "apple + google → twitter",
        "apple + twitter → google",
        "google + twitter → apple",
    ]


def test_what_is_held_out_is_named() -> None:
    assert pairs({"kind": "generalise", "hold_out": ["google"], "shots": [0]}) == ["apple + twitter → google"]
    two = {"kind": "generalise", "sources": ["apple", "google"], "hold_out": ["google"], "shots": [0]}
    assert pairs(two) == ["apple → google"], "one source is a domain to generalise from too"


def test_a_target_that_is_not_shown_is_in_no_stage() -> None:
    cell = tiny_cell(source=("apple", "google"), kind="generalise", shots=0)
    (stage,) = stages(cell)
    assert stage.labelled == Items(domain=("apple", "google"), classes=CLASSES, part="train")
    assert (stage.unlabelled, stage.replay) == (None, None)
    assert stage.evaluate_on == ("target-test", "source-validation"), "no validation by the target"


def test_several_sources_have_the_stages_of_one() -> None:
    source, adapting = stages(tiny_cell(source=("apple", "google"), kind="multi-source", shots=0))
    assert (
        source.labelled == adapting.replay == Items(domain=("apple", "google"), classes=CLASSES, part="train")
    )
    assert source.unlabelled == Items(domain="twitter", classes=CLASSES, part="train")


def test_a_record_keeps_several_sources() -> None:
    cell = tiny_cell(source=("apple", "google"), kind="multi-source")
    again = Cell.model_validate_json(cell.model_dump_json())
    assert again == cell
    assert again.key == cell.key != tiny_cell().key


def test_keys_are_as_before_there_were_several_sources() -> None:
    scenario = Scenario(
        kind="cross-domain", dataset="d", source="a", target="b", target_classes=("c",), shots=0
    )
    assert scenario.model_dump(mode="json")["source"] == "a"
    assert tiny_cell().key == "43d368220bfb5b10"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"kind": "cross-domain", "sources": [["google", "apple"]]}, "kind 'multi-source'"),
        ({"kind": "multi-source", "sources": [["google"]]}, "has 2 sources or more in a list"),
        ({"kind": "multi-source", "sources": [["google", "google"]]}, "has 2 sources or more in a list"),
        ({"kind": "multi-source", "sources": ["twitter", ["google", "apple"]]}, "beside lists of sources"),
        (
            {"kind": "multi-source", "sources": [["google", "apple"]], "targets": ["apple"]},
            "'apple' is a target and among its sources",
        ),
        ({"kind": "generalise", "shots": [0, 5]}, r"use shots = \[0\]"),
        ({"kind": "generalise", "hold_out": "each", "targets": ["apple"]}, "leave out 'targets'"),
        ({"kind": "cross-domain", "hold_out": "each"}, "holds no domain out"),
    ],
)
def test_tables_that_cannot_be(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ScenarioTable.model_validate({"shots": [0], **table})


@pytest.mark.parametrize("kind", ["multi-source", "generalise"])
def test_one_domain_is_too_few(kind: str) -> None:
    with pytest.raises(UserError, match=rf"kind '{kind}' takes . source.* beside the target 'apple', not 0"):
        plan(suite({"kind": kind, "shots": [0]}, domains=["apple"]), CARD)


def test_a_rule_that_goes_by_the_target_is_none_for_an_unseen_one() -> None:
    table = {"kind": "generalise", "shots": [0]}
    for rule in ("last", "source-val"):
        suite(table, headline=rule)
    for rule in ("oracle", "entropy"):
        with pytest.raises(ValidationError, match=f"rule '{rule}' goes by the target's images"):
            suite(table, headline=rule)
