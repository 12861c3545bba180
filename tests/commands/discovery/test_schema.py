"""`bench schema`: the JSON Schema of suites accepts and refuses what the program does."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from bench.cli import cli
from bench.commands.discovery.schema import suite_schema
from bench.core.errors import UserError
from bench.spec.matrix.suite import SUITES, load_suite, suite_names

GOOD: dict[str, Any] = {
    "description": "Mine.",
    "dataset": "emoji-home",
    "backbones": ["tf_efficientnet_lite0"],
    "methods": ["linear-probe", "family:alignment", "lp-*"],
    "scenarios": [{"kind": "cross-domain", "shots": [0, "all"]}],
}
VALIDATOR = jsonschema.Draft202012Validator(suite_schema())


def changed(path: str, value: Any) -> dict[str, Any]:
    suite = json.loads(json.dumps(GOOD))
    *way, last = path.split("/")
    inner: Any = suite
    for part in way:
        inner = inner[int(part)] if part.isdigit() else inner.setdefault(part, {})
    inner[last] = value
    return suite


def accepted(suite: dict[str, Any], folder: Path) -> bool:
    """What the program says: JSON's values here are TOML's, too."""
    lines = [f"{key} = {toml(value)}" for key, value in suite.items()]
    (folder / "mine.toml").write_text("\n".join(lines))
    try:
        load_suite(str(folder / "mine.toml"))
    except UserError:
        return False
    return True


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + "}"
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, list) else json.dumps(value)


def test_the_verb_prints_a_schema() -> None:
    printed = CliRunner().invoke(cli, ["schema"])
    assert printed.exit_code == 0
    schema = json.loads(printed.output)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "linear-probe" in json.dumps(schema["properties"]["methods"])
    assert all("description" in table for table in schema["$defs"].values())


@pytest.mark.parametrize("name", suite_names())
def test_packaged_suites(name: str) -> None:
    VALIDATOR.validate(tomllib.loads((SUITES / f"{name}.toml").read_text()))


@pytest.mark.parametrize(
    ("path", "value", "good"),
    [
        ("description", "Mine.", True),
        ("budget/steps", 100, True),
        ("budget/steps", [100, 200], True),
        ("budget/steps", "until-converged", True),
        ("budget/steps", "forever", False),
        ("budget/steps", 0, False),
        ("budget/step", 100, False),
        ("methods", [], False),
        ("methods", "dann", False),
        ("classes", 10, True),
        ("classes", ["office"], True),
        ("set/dann", {"weight": 0.3}, True),
        ("seeds", [-1], False),
        ("image_size", 0, False),
        ("precision", "fp8", False),
        ("scenarios/0/kind", "pretraind", False),
        ("scenarios/0/shots", ["some"], False),
        ("scenarios/0/sources", ["google"], True),
        ("executor/workers", 2, True),
        ("nonsense", 1, False),
    ],
)
def test_the_schema_says_what_the_program_says(path: str, value: Any, good: bool, tmp_path: Path) -> None:
    suite = changed(path, value)
    assert accepted(suite, tmp_path) == good
    assert VALIDATOR.is_valid(suite) == good


def test_descriptions_are_of_every_modality() -> None:
    """Suites are of texts, rows, recordings and sequences too."""
    told = re.findall(r'"description": "(.*?)"', json.dumps(suite_schema()))
    assert told
    assert not [line for line in told if "image" in line and "side of an image in pixels" not in line]
