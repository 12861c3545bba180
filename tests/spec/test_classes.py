"""Tables and keys of kinds whose target has other classes than the source, and of sources that are gone."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bench.core.errors import UserError
from bench.data.catalog import load_card
from bench.spec.cell import Cell
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import ScenarioTable, Suite
from bench.spec.scenarios import stages
from bench.spec.stages import Items, shared_stages

CARD = load_card("emoji-home")


def cells(table: dict[str, Any], classes: int = 6) -> list[Cell]:
    table = {"sources": ["google"], "targets": ["twitter"], "shots": [0], **table}
    suite = Suite(
        name="s",
        description="",
        dataset=CARD.name,
        backbones=["b"],
        methods=["dann"],
        classes=classes,
        scenarios=[table],
    )
    return plan(suite, CARD)


def test_a_partial_target_has_the_first_classes() -> None:
    (cell,) = cells({"kind": "partial", "target_classes": 4})
    scenario, names = cell.scenario, tuple(CARD.classes[:6])
    assert (scenario.source_classes, scenario.target_classes, scenario.absent) == (names, names, names[4:])
    source, adapting = stages(cell)
    assert source.labelled == adapting.replay == Items(domain="google", classes=names, part="train")
    unlabelled = Items(domain="twitter", classes=names, part="train", absent=names[4:])
    assert source.unlabelled == adapting.unlabelled == unlabelled


def test_an_open_target_has_the_last_classes_too() -> None:
    (cell,) = cells({"kind": "open", "unknown": 2})
    scenario, names = cell.scenario, tuple(CARD.classes[:6])
    assert scenario.source_classes == scenario.target_classes == names[:4]
    assert scenario.unknown == names[4:]
    assert scenario.target_names == (*names[:4], "unknown")
    unlabelled = Items(domain="twitter", classes=names[:4], part="train", unknown=names[4:])
    assert stages(cell)[0].unlabelled == unlabelled


def test_other_classes_are_another_question() -> None:
    asked = [{"kind": "partial", "target_classes": n} for n in (3, 4)]
    asked += [{"kind": "open", "unknown": n} for n in (1, 2)]
    asked += [{"kind": "source-free"}, {"kind": "cross-domain"}]
    keys = {cell.key for table in asked for cell in cells(table)}
    assert len(keys) == 6
    (some,), (fewer,) = (cells(table) for table in asked[:2])
    (one,), (other,) = (shared_stages(cell, stages(cell)) for cell in (some, fewer))
    assert one.key != other.key, "a source stage that sees the target depends on its classes"
    again = Cell.model_validate_json(some.model_dump_json())
    assert (again, again.key) == (some, some.key)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"kind": "partial"}, "kind 'partial' needs a number of classes: target_classes = N"),
        ({"kind": "open"}, "kind 'open' needs a number of classes: unknown = N"),
        (
            {"kind": "open", "unknown": 2, "target_classes": 3},
            "takes no number of classes as 'target_classes'",
        ),
        (
            {"kind": "cross-domain", "unknown": 2},
            "kind 'cross-domain' takes no number of classes as 'unknown'",
        ),
        ({"kind": "partial", "target_classes": 2, "shots": [5]}, r"use shots = \[0\]"),
        ({"kind": "partial", "target_classes": "new"}, "says itself which classes are the target's"),
        ({"kind": "open", "unknown": 0}, "greater than or equal to 1"),
    ],
)
def test_tables_that_cannot_be(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ScenarioTable.model_validate({"shots": [0], **table})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"kind": "open", "unknown": 5}, "unknown = 5 of 6 classes leave the source less than two"),
        ({"kind": "partial", "target_classes": 6}, "target_classes = 6 of the source's 6: use fewer"),
    ],
)
def test_more_classes_than_there_are(table: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        cells(table)
