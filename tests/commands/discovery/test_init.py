"""`bench init`: a commented suite for one's own items, which runs as it is."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner, Result

from bench.cli import cli
from bench.commands.discovery.init import toml
from bench.core.errors import UserError
from bench.core.paths import COLUMNS, column_variable
from bench.data.own import own_card
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import load_suite
from tests.data.pictures import as_folders, pictures
from tests.support.checkout import bench
from tests.support.texts import write_texts

CLASSES = ["bolt", 'nut "M8"', "screw", "washer"]


def init(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["init", *arguments], catch_exceptions=False)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    own_card.cache_clear()
    return as_folders(tmp_path / "My parts", pictures(["shop", "site"], CLASSES, 8))


def test_several_domains(mine: Path) -> None:
    result = init("My parts")
    assert result.exit_code == 0
    assert "bench run --suite my-parts.toml --data 'My parts'" in result.output
    suite = load_suite("my-parts.toml")
    cells = plan(suite, own_card(mine))
    pairs = {(cell.scenario.source, cell.scenario.target) for cell in cells}
    assert pairs == {("shop", "site"), ("site", "shop"), (None, "shop"), (None, "site")}
    text = Path("my-parts.toml").read_text()
    assert '# 2 domains: "shop", "site"' in text
    assert '"nut \\"M8\\""' in text


def test_what_is_commented_out_is_right_too(mine: Path) -> None:
    init("My parts")
    text = Path("my-parts.toml").read_text()
    Path("all.toml").write_text(re.sub(r"(?m)^# (\w+ = )", r"\1", text))
    suite = load_suite("all.toml")
    assert (suite.classes, suite.controls) == (10, True)
    assert suite.scenarios[0].sources == ["shop"]


def test_one_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own_card.cache_clear()
    folder = as_folders(tmp_path / "all", pictures(["only"], CLASSES, 8)) / "only"
    assert init(str(folder)).exit_code == 0
    kinds = {cell.scenario.kind for cell in plan(load_suite("only.toml"), own_card(folder))}
    assert kinds == {"cross-task", "pretrained"}


def test_the_suite_runs(mine: Path) -> None:
    init("My parts", "--out", "x.toml")
    options = ("--methods", "linear-probe", "--source", "shop", "--target", "site", "--shots", "0")
    small = ("--steps", "8", "--image-size", "32", "--backbone", "test_efficientnet.untrained")
    process = bench("run", "--suite", "x.toml", "--data", "My parts", *options, *small, cwd=mine.parent)
    assert process.returncode == 0, process.stderr
    assert "[1/1] done" in process.stderr


@pytest.fixture
def unnamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No columns are named before, nor after what the command puts into the environment."""
    monkeypatch.chdir(tmp_path)
    own_card.cache_clear()
    with patch.dict(os.environ):
        for name in COLUMNS:
            os.environ.pop(column_variable(name), None)
        yield


@pytest.mark.usefixtures("unnamed")
def test_texts(tmp_path: Path) -> None:
    table = write_texts(tmp_path / "said.csv")
    assert init("said.csv").exit_code == 0
    text = Path("said.toml").read_text()
    assert text.startswith("# A suite for your texts: said.")
    assert "image_size = 64                 # tokens; what is longer is cut off" in text
    assert "# labelled target texts per class: none, 5;" in text
    suite, usual = load_suite("said.toml"), load_suite("own-texts")
    same = ("backbones", "methods", "budget", "recipe", "augment", "image_size")
    assert [getattr(suite, name) for name in same] == [getattr(usual, name) for name in same]
    assert suite.recipe.backbone_rate == 0.1, "pretrained encoders forget at the rate of a new head"
    cells = plan(suite, own_card(table))
    assert {cell.scenario.kind for cell in cells} == {"cross-domain", "pretrained"}
    assert {cell.modality for cell in cells} == {"text"}


@pytest.mark.usefixtures("unnamed")
@pytest.mark.parametrize(
    ("lands", "kinds", "shots"),
    [(("here", "there"), {"cross-domain"}, {0, 50}), (("here",), {"pretrained"}, {5, 50, "all"})],
)
def test_rows(lands: tuple[str, ...], kinds: set[str], shots: set[object], tmp_path: Path) -> None:
    """By named columns, which the line that runs the suite has too."""
    lines = [f"{row},{row % 7},{land},{row % 2}" for land in lands for row in range(240)]
    (tmp_path / "people.csv").write_text("\n".join(["age,owed,land,default", *lines]))
    result = init("people.csv", "--label", "default", "--domain", "land")
    assert "bench run --suite people.toml --data people.csv --label default --domain land" in result.output
    suite = load_suite("people.toml")
    assert suite.image_size == 2
    cells = plan(suite, own_card(Path("people.csv"), None, (("label", "default"), ("domain", "land"))))
    assert {cell.scenario.kind for cell in cells} == kinds
    assert {cell.scenario.shots for cell in cells} == shots
    assert "image" not in Path("people.toml").read_text().replace("image_size", "")


def test_names_are_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a\\b", 'say "x"', "tab\there", "é", "\u202e right to left", "\x7f", "𝄞", "]", "# no comment"]
    assert tomllib.loads(f"names = [{', '.join(map(toml, names))}]") == {"names": names}
    monkeypatch.chdir(tmp_path)
    own_card.cache_clear()
    folder = as_folders(tmp_path / "odd", pictures(["a", "b\n[settings]"], ["x\ny = 1", "z"], 3))
    assert init(str(folder)).exit_code == 0
    assert load_suite("odd.toml").settings.device == [], "names are in comments, which they do not end"


def test_nothing_is_overwritten(mine: Path) -> None:
    Path("my-parts.toml").write_text("mine")
    with pytest.raises(UserError, match=r"'my-parts\.toml' exists: name another file with --out FILE"):
        init("My parts")
    assert Path("my-parts.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere"], "no folder or table at 'nowhere'"),
        (["My parts", "--out", "x.txt"], "--out takes a file that ends in .toml"),
    ],
)
def test_bad_requests(arguments: list[str], line: str, mine: Path) -> None:
    with pytest.raises(UserError, match=line):
        init(*arguments)
