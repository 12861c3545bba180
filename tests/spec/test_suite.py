from __future__ import annotations

import json
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.core.errors import UserError
from bench.data.catalog import load_card
from bench.spec.cell import Budget, Cell, Scenario, content_hash
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import ScenarioTable, Suite, load_suite, suite_names

SCENARIO = {
    "kind": "cross-domain",
    "dataset": "toys",
    "source": "photo",
    "source_classes": ["cat", "dog"],
    "target": "sketch",
    "target_classes": ["cat", "dog"],
    "shots": 5,
}
CELL: dict[str, Any] = {
    "scenario": SCENARIO,
    "method": "dann",
    "overrides": {"weight": 0.5},
    "backbone": "tiny",
    "image_size": 32,
    "augment": "none",
    "budget": {"steps": 10, "batch_size": 4, "evaluations": 2},
    "seed": 1,
    "precision": "fp32",
}
OTHER: dict[str, Any] = {
    "method": "full-finetune",
    "overrides": {"weight": 0.25},
    "backbone": "small",
    "metric": "auc",
    "image_size": 48,
    "augment": "crop-flip",
    "budget": {"steps": 11, "batch_size": 4, "evaluations": 2},
    "seed": 2,
    "precision": "bf16",
    "fold": 0,
    "transductive": True,
    "unsplit": True,
    "headline": "oracle",
    "recipe": {"optimizer": "sgd"},
    "setting": {"threads": 2},
}
OTHER_SCENARIO: dict[str, Any] = {
    "kind": "pretrained",
    "dataset": "games",
    "source": "paint",
    "source_classes": ["dog", "cat"],
    "target": "photo",
    "target_classes": ["cat", "dog", "eel"],
    "shots": "all",
    "episodes": {"way": 3},
    "absent": ["dog"],
    "unknown": ["fox"],
    "parts": [{"domain": "photo", "classes": ["cat", "dog"]}],
    "federation": {"rounds": 3, "local_steps": 2},
    "stream": {"batch": 8},
}


def test_key_is_the_hash_of_the_canonical_json() -> None:
    """Written out by hand: what this gives must never change, or every record there is is lost."""
    text = (
        '{"augment":"none","backbone":"tiny","budget":{"batch_size":4,"looks":2,"steps":10},"image_size":32,'
        '"method":"dann","overrides":{"weight":0.5},"precision":"fp32","scenario":{"dataset":"toys",'
        '"kind":"cross-domain","shots":5,"source":"photo","source_classes":["cat","dog"],"target":"sketch",'
        '"target_classes":["cat","dog"]},"seed":1}'
    )
    assert Cell(**CELL).key == sha256(text.encode()).hexdigest()[:16]
    # What a recipe says stands in it, and nothing of what it leaves as usual.
    said = text.replace('"scenario":', '"recipe":{"optimizer":"sgd"},"scenario":')
    assert Cell(**CELL, recipe={"optimizer": "sgd"}).key == sha256(said.encode()).hexdigest()[:16]
    assert Cell(**CELL, recipe={"optimizer": "adamw"}).key == Cell(**CELL).key


def test_equal_content_equal_key() -> None:
    shuffled = {key: CELL[key] for key in reversed(CELL)}
    assert Cell(**shuffled).key == Cell(**CELL).key
    stored = Cell.model_validate_json(Cell(**CELL).model_dump_json())
    assert stored == Cell(**CELL)
    assert stored.key == Cell(**CELL).key
    default = {key: value for key, value in CELL.items() if key != "precision"}
    assert Cell(**default).key == Cell(**CELL).key


def test_key_is_the_same_in_another_process() -> None:
    code = "import json, sys; from bench.spec.cell import Cell; print(Cell(**json.loads(sys.argv[1])).key)"
    root = Path(__file__).parents[2]
    out = subprocess.run(
        [sys.executable, "-c", code, json.dumps(CELL)], cwd=root, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == Cell(**CELL).key


@pytest.mark.parametrize("field", Cell.model_fields)
def test_any_field_changes_the_key(field: str) -> None:
    if field == "scenario":
        keys = {
            Cell(**{**CELL, "scenario": {**SCENARIO, name: value}}).key
            for name, value in OTHER_SCENARIO.items()
        }
        assert set(OTHER_SCENARIO) == set(Scenario.model_fields)
        assert len(keys | {Cell(**CELL).key}) == len(OTHER_SCENARIO) + 1
    elif field == "control_of":
        # Why a question is asked is no part of it: a method's cell and another's control are one.
        assert Cell(**CELL, control_of=("mdd",)).key == Cell(**CELL).key
    elif field == "modality":
        assert Cell(**CELL).model_copy(update={"modality": "text"}).key != Cell(**CELL).key
    else:
        assert Cell(**{**CELL, field: OTHER[field]}).key != Cell(**CELL).key


# An alphabet that is written out: hypothesis tabulates Unicode for any other, for seconds.
TEXT = st.text(string.printable + "äßЖ中\u2028\U0001f600")


@given(st.dictionaries(TEXT, st.one_of(st.booleans(), st.integers(), TEXT, st.floats(allow_nan=False))))
def test_content_hash_does_not_depend_on_order(value: dict[str, Any]) -> None:
    assert content_hash(value) == content_hash(dict(reversed(value.items())))
    assert re.fullmatch("[0-9a-f]{16}", content_hash(value))


def test_models_cannot_change() -> None:
    cell = Cell(**CELL)
    with pytest.raises(ValidationError, match="frozen"):
        cell.seed = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("steps", "target_steps"),
    [(1, 1), (2, 1), (3, 1), (10, 5), (301, 150)],
)
def test_target_stage_is_half_as_long(steps: int, target_steps: int) -> None:
    assert Budget(steps=steps, evaluations=1).target_steps == target_steps


@pytest.mark.parametrize(
    "values",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"evaluations": 0},
        {"steps": -1},
        {"steps": 6, "evaluations": 4},
        {"stepz": 3},
    ],
)
def test_impossible_budgets(values: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Budget(**values)
    assert Budget(steps=6, evaluations=3).evaluations == 3


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "pretrained", "sources": ["a"], "shots": [1]},
        {"kind": "pretrained", "shots": [0, 1]},
        {"kind": "cross-domain", "shots": []},
        {"kind": "cross-domain", "shots": [-1]},
        {"kind": "cross-domain", "shots": ["some"]},
        {"kind": "sideways", "shots": [1]},
        {"kind": "cross-domain"},
    ],
)
def test_impossible_scenario_tables(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ScenarioTable(**values)


def test_possible_scenario_tables() -> None:
    assert ScenarioTable(kind="pretrained", shots=[1, "all"]).shots == [1, "all"]
    assert ScenarioTable(kind="cross-domain", shots=[0]).sources == "all"


MINIMAL = """
description = "mine"
dataset = "emoji-home"
backbones = ["tiny"]
methods = ["linear-probe"]
"""
SCENARIOS = """
[[scenarios]]
kind = "cross-domain"
shots = [0]
"""


def load(tmp_path: Path, text: str) -> Suite:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_suite(str(path))


def complaint(tmp_path: Path, text: str) -> str:
    with pytest.raises(UserError) as error:
        load(tmp_path, text)
    message = str(error.value)
    assert "\n" not in message
    assert str(tmp_path / "mine.toml") in message
    return message


def test_suite_file(tmp_path: Path) -> None:
    suite = load(tmp_path, MINIMAL + SCENARIOS)
    assert suite.name == "mine"
    assert suite.budget == Budget(steps=300, batch_size=32, evaluations=4)
    assert (suite.seeds, suite.image_size, suite.precision) == ([0], 64, "fp32")
    assert suite.scenarios == [ScenarioTable(kind="cross-domain", shots=[0])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('domain = ["google"]' + MINIMAL + SCENARIOS, "unknown key 'domain': did you mean 'domains'?"),
        (MINIMAL + "[budget]\nstep = 3\n" + SCENARIOS, "unknown key 'budget.step': did you mean 'steps'?"),
        (MINIMAL + SCENARIOS + "shot = [0]\n", "unknown key 'scenarios.0.shot': did you mean 'shots'?"),
        ("image_size = 32.5" + MINIMAL + SCENARIOS, "'image_size': input should be a valid integer"),
        ('seeds = ["a"]' + MINIMAL + SCENARIOS, "'seeds.0'"),
        ('precision = "fp8"' + MINIMAL + SCENARIOS, "'fp32', 'tf32', 'bf16' or 'fp16', not 'fp8'"),
        (
            MINIMAL + "[budget]\nsteps = 4\nevaluations = 3\n" + SCENARIOS,
            "3 evaluations do not fit into a target stage of 2 steps",
        ),
        (MINIMAL + SCENARIOS + "episodes = { way = 5 }\n", "episodes have a support of 1, 5, ... shots"),
        (MINIMAL + SCENARIOS + "episodes = { ways = 5 }\n", "episodes.ways': did you mean 'way'?"),
        (MINIMAL + SCENARIOS + "episodes = { way = 1 }\n", "greater than or equal to 2, not 1"),
        (MINIMAL, "'scenarios': field required"),
        (MINIMAL + SCENARIOS + "shots = [1]\n", "cannot read"),
        ("= 3", "cannot read"),
    ],
)
def test_complaints_name_file_and_place(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in complaint(tmp_path, text)


def numbers(schema: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every number in a JSON schema, with its place."""
    if isinstance(schema, dict) and schema.get("type") in ("integer", "number"):
        yield where, schema
    elif isinstance(schema, dict | list):
        for name, inner in schema.items() if isinstance(schema, dict) else enumerate(schema):
            yield from numbers(inner, f"{where}/{name}")


def test_every_number_of_a_suite_has_bounds() -> None:
    """Of hyperparameters alone a suite does not know what they may be: TOML's 64 bits bound them."""
    found = [(where, number) for where, number in numbers(Suite.model_json_schema()) if "/set/" not in where]
    assert len({where for where, _ in found}) > 20
    for ends in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        assert [where for where, number in found if not {*ends} & {*number}] == []


def test_complaints_count_the_others(tmp_path: Path) -> None:
    assert complaint(tmp_path, "a = 1\nb = 2\nc = 3" + MINIMAL + SCENARIOS).endswith("(and 2 more)")


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot read"):
        load_suite(str(tmp_path / "mine.toml"))


def test_missing_suites(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown suite 'smokes': did you mean 'smoke'"):
        load_suite("smokes")
    with pytest.raises(UserError, match="no suite file at"):
        load_suite(str(tmp_path / "nowhere.toml"))
    with pytest.raises(UserError, match="no suite file at"):
        load_suite(str(tmp_path.with_suffix(".toml")))


@pytest.mark.parametrize(
    "name",
    # Those for one's own images have no dataset of their own: see tests/data/test_own.py.
    [name for name in suite_names() if load_suite(name).dataset],
)
def test_shipped_suites_load_and_plan(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert suite.description
    cells = plan(suite, load_card(suite.dataset))
    assert len({cell.key for cell in cells}) == len(cells) > 0
    assert {cell.method for cell in cells} == set(suite.methods)
