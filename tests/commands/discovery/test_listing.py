"""`bench list methods`: by family, readable in 80 columns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import cli
from bench.data.catalog import card_names
from bench.method.registry import (
    COSTS,
    OTHERS,
    family,
    family_summary,
    method_costs,
    method_modules,
    method_needs,
    method_paper,
    method_summary,
)
from bench.spec.matrix.suite import suite_names
from tests.support.checkout import python

OWN = sorted(name for name in method_modules() if family(name) != OTHERS)


@pytest.fixture(scope="module")
def listed() -> list[str]:
    result = CliRunner().invoke(cli, ["list", "methods"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    return result.output.splitlines()


def test_methods_stand_under_their_families(listed: list[str]) -> None:
    assert max(map(len, listed)) <= 80
    found: dict[str, str] = {}
    group, families = "", {family(name) for name in OWN}
    for line in listed:
        if (heading := re.match(r"([a-z]+): ", line)) and heading[1] in families:
            group = heading[1]
            assert line in f"{group}: {family_summary(group)}"
        elif line[:1].isalpha() and group:
            found[line.split()[0]] = group
    assert {name: found.get(name) for name in OWN} == {name: family(name) for name in OWN}


def test_facts_of_a_method(listed: list[str]) -> None:
    place = next(n for n, line in enumerate(listed) if line.startswith("dann "))
    cost = str(method_costs().get("dann", "–"))
    assert re.split(r"\s{2,}", listed[place]) == ["dann", "Ganin 2016", "source, images", cost, "dalib 0.2"]
    assert listed[place + 1].strip() in method_summary("dann")


@pytest.mark.parametrize("name", OWN)
def test_every_method_opens_with_a_paper(name: str) -> None:
    assert re.fullmatch(r"\D+ (19|20)\d\d", method_paper(name))


def test_papers() -> None:
    papers = {
        "dann": "Ganin 2016",
        "bitfit": "Ben Zaken 2022",
        "deep-coral": "Sun 2016",
        "pseudo-label": "Lee 2013",
    }
    assert {name: method_paper(name) for name in papers} == papers


def test_needs() -> None:
    needs = {"full-finetune": "", "dann": "source, images", "maml": "shots"}
    assert {name: method_needs(name) for name in needs} == needs


def test_costs_are_measured() -> None:
    """By a command that says so in the file; a method that was not measured has none."""
    assert "python -m tests.speed.steps" in COSTS.read_text(encoding="utf-8").splitlines()[0]
    assert set(method_costs()) <= set(method_modules())
    assert all(cost.time > 0 for cost in method_costs().values())
    assert method_costs()["full-finetune"].time == pytest.approx(1, abs=0.2)
    assert str(method_costs()["linear-probe"]) == f"{method_costs()['linear-probe'].time}*"


def test_a_bare_list_names_everything() -> None:
    result = CliRunner().invoke(cli, ["list"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    words = set(re.split(r"[,\s]+", result.output))
    assert {*method_modules(), *suite_names(), *card_names(), "tf_efficientnet_lite0"} <= words


def test_methods_are_listed_without_torch(tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from bench.cli import cli; cli(['list', 'methods'])"
    process = python("-c", code, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    (dann,) = (line for line in process.stdout.splitlines() if line.startswith("dann "))
    assert re.split(r"\s{2,}", dann)[:3] == ["dann", "Ganin 2016", "?"]
    assert " ".join(process.stdout.split()).endswith("?: an installation without torch cannot say.")
