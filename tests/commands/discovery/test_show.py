"""`bench show`: what a suite asks, what a method needs, whose a dataset is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import cli
from bench.core.errors import UserError
from bench.data.catalog import card_names, load_card
from bench.method.registry import load_method, method_modules
from bench.records.store import Store
from bench.spec.matrix.suite import load_suite, suite_names
from tests.support.checkout import ROOT


def show(name: str) -> str:
    """What is printed, a line a fact."""
    result = CliRunner().invoke(cli, ["show", name], env={"COLUMNS": "1000"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("name", suite_names())
def test_every_suite(name: str) -> None:
    said, suite = show(name), load_suite(name)
    assert said.startswith(f"suite {name}\n")
    assert suite.description in said
    assert all(table.kind in said for table in suite.scenarios)


@pytest.mark.parametrize("name", sorted(method_modules()))
def test_every_method(name: str) -> None:
    said = show(name)
    assert f"method {name}\n" in said
    for field in fields(load_method(name)):  # type: ignore[arg-type]
        (line,) = re.findall(rf"^ *{name}\.{field.name} +(.*?) *$", said, re.MULTILINE)
        assert line.startswith(str(field.default))


@pytest.mark.parametrize("name", card_names())
def test_every_dataset(name: str) -> None:
    said, card = show(name), load_card(name)
    assert f"dataset {name}\n" in said
    assert " ".join(card.licence.split()) in said
    assert all(" ".join(text.split()) in said for text in card.credits.values())


def test_cells_and_time_of_a_recorded_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    said = show("smoke")
    records = [*Store(ROOT / "results" / "baselines" / "smoke").records()]
    assert re.search(rf"^ *cells +{len(records)} *$", said, re.MULTILINE)
    done = sum(record.done for record in records)
    (time, count) = re.findall(r"about (.*) one after another, going by (\d+) recorded cells", said)[0]
    assert int(count) == done
    assert re.fullmatch(r"\d+ (s|min)", time)


def test_what_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "nothing to tell the time from" in show("smoke")


def test_a_suite_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "bench" / "suites" / "smoke.toml").read_text()
    Path("mine.toml").write_text(re.sub(r"(?m)^description = .*", 'description = "[bold]Mine?[/bold]"', text))
    assert "[bold]Mine?[/bold]" in show("mine.toml"), "a text, no markup"


def test_a_name_of_a_suite_and_a_dataset_is_both() -> None:
    said = show("emoji-home")
    assert said.index("suite emoji-home") < said.index("dataset emoji-home")


CLOSE = {"emojihome": "'emoji-home'", "dannn": "'dann'", "?": "choose from"}


@pytest.mark.parametrize(("name", "close"), CLOSE.items())
def test_a_name_of_nothing(name: str, close: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"no suite, method or dataset '{name}'")) as error:
        CliRunner().invoke(cli, ["show", name], catch_exceptions=False)
    assert close in str(error.value)
