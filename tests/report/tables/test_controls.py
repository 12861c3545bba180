"""Controls: two gains apart, by hand, and rows that no ranking counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from bench.records.store import Store
from bench.report.export.writer import export
from bench.report.render.markdown import markdown_table
from bench.report.render.page import render
from bench.report.render.terminal import terminal_table
from bench.report.scores.frame import load_frame, methods_only
from bench.report.statistics.summary import negative_transfer
from bench.report.tables.completeness import Completeness
from bench.report.tables.gains import GainParts, gain_parts
from bench.report.tables.methods.families import MethodNotes
from bench.spec.cell import Control
from tests.report import synthetic

PAIRS = (("photo", "sketch"), ("sketch", "photo"))
OFF: Control = {"weight": 0.0}


def write(
    store: Store, method: str, right: tuple[int, int], control: Control | None = None, **cell: Any
) -> None:
    """A done cell without target labels for each pair; 40 test images, so that one is 2.5 points."""
    for (source, target), count in zip(PAIRS, right, strict=True):
        asked = synthetic.cell(method, source, target, **{"shots": 0, **cell})
        synthetic.write(store, asked, count, control=control)


@pytest.fixture
def controlled(store: Store) -> Store:
    """Probe 20 and 20 of 40, dann 28 and 24, its control 16 and 12, tent 24 and 22, its control 22 and 24."""
    write(store, "linear-probe", (20, 20))
    write(store, "full-finetune", (22, 24))
    write(store, "tent", (24, 22), "full-finetune")
    write(store, "dann", (28, 24), OFF)
    write(store, "dann", (16, 12), OFF, overrides=OFF, control_of=("dann",))
    return store


def shown(frame: pd.DataFrame, baseline: str = "linear-probe") -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(terminal_table(frame, baseline, "full-finetune"))
    return capture.get()


def points(row: GainParts) -> tuple[str, float | None, int, float | None, int]:
    return row.control, row.idea.points, row.idea.cells, row.recipe.points, row.recipe.cells


def test_two_gains_by_hand(controlled: Store) -> None:
    found = {row.method: row for row in gain_parts(load_frame(controlled), "linear-probe")}
    # dann: (12 + 12) / 2 of 40 images over its control, which is (-4 - 8) / 2 of 40 over the probe.
    assert points(found["dann"]) == ("weight=0.0", pytest.approx(30.0), 2, pytest.approx(-15.0), 2)
    # tent: (2 - 2) / 2 over full-finetune, which is (2 + 4) / 2 of 40 over the probe.
    assert points(found["tent"]) == ("full-finetune", pytest.approx(0.0), 2, pytest.approx(7.5), 2)
    assert set(found) == {"dann", "tent"}
    assert found["dann"].idea.clear
    assert not found["tent"].idea.clear
    interval = found["dann"].idea.interval
    assert interval
    assert interval.low < 30.0 < interval.high


def test_a_control_that_is_the_baseline(controlled: Store) -> None:
    found = {row.method: row for row in gain_parts(load_frame(controlled), "full-finetune")}
    assert found["tent"].plain
    assert found["tent"].recipe.points is None
    assert found["dann"].recipe.points == pytest.approx(-22.5), "28 less 46 of 80 images"


def test_gains_are_paired_by_question_and_seed(controlled: Store) -> None:
    """A run whose control is not there counts in neither gain."""
    write(controlled, "dann", (40, 40), OFF, seed=1)
    write(controlled, "linear-probe", (0, 0), seed=1)
    found = {row.method: row for row in gain_parts(load_frame(controlled), "linear-probe")}
    assert points(found["dann"]) == ("weight=0.0", pytest.approx(30.0), 2, pytest.approx(-15.0), 2)


def test_controls_are_ranked_nowhere(controlled: Store, tmp_path: Path) -> None:
    frame = load_frame(controlled)
    assert sorted(methods_only(frame)["method"].unique()) == ["dann", "full-finetune", "linear-probe", "tent"]
    assert "dann (weight=0.0)" in set(frame["method"])
    assert "weight=0.0" not in markdown_table(frame, "linear-probe")
    export(frame, tmp_path, "linear-probe", "full-finetune")
    tables, figures = ((tmp_path / "tables").glob("*.csv"), (tmp_path / "figures").glob("*.svg"))
    assert {path.stem for path in tables if "weight=0.0" in path.read_text()} == {
        *("idea-and-recipe", "negative-transfer"),
        *("coverage", "provenance", "records"),
    }
    assert not [path.name for path in figures if "weight=0.0" in path.read_text()]


def test_the_export_holds_both_gains(controlled: Store, tmp_path: Path) -> None:
    export(load_frame(controlled), tmp_path, "linear-probe", "full-finetune")
    table = pd.read_csv(tmp_path / "tables" / "idea-and-recipe.csv").set_index("method")
    assert table.loc["dann", ["control", "idea", "recipe", "cells"]].tolist() == [
        "weight=0.0",
        30.0,
        -15.0,
        2,
    ]
    assert table.loc["dann", "idea_low"] < 30.0 < table.loc["dann", "idea_high"]
    harm = pd.read_csv(tmp_path / "tables" / "negative-transfer.csv").set_index(["method", "pair"])
    assert harm.loc[("dann", "photo → sketch"), "against"] == "weight=0.0"


def test_page_and_terminal_say_both(controlled: Store) -> None:
    frame = load_frame(controlled)
    page = render(frame, notes=MethodNotes("full-finetune"))
    assert "dann: its idea gains 30.0 points (95&nbsp;% interval" in page
    assert "its recipe loses 15.0 points" in page
    assert "tent: its idea makes no clear difference (+0.0 points" in page
    assert "2 cells of them are of" in " ".join(page.split())
    (row,) = (line for line in shown(frame).splitlines() if line.strip().startswith("dann "))
    assert row.split()[1:4] == ["65.0", "+15.0", "+30.0"], "accuracy, gain, idea"
    assert "idea" not in shown(load_frame(controlled)[lambda rows: rows["method"] == "linear-probe"])


def test_negative_transfer_is_against_the_control(controlled: Store) -> None:
    """By full-finetune's 22 and 24 dann gains 15 and 0 points, by its own control 30 and 30."""
    found = negative_transfer(load_frame(controlled), "linear-probe")
    table = {(row.method, row.pair): (row.against, row.points) for row in found.itertuples()}
    assert table == {
        ("dann", "photo → sketch"): ("weight=0.0", pytest.approx(30.0)),
        ("dann", "sketch → photo"): ("weight=0.0", pytest.approx(30.0)),
    }


def test_a_suite_decides_what_is_a_control(controlled: Store) -> None:
    """The record of a control is a method's where a suite asks for it as one, and the other way round."""
    cells = [record.request.cell for record in controlled.records()]
    asked = [cell.model_copy(update={"control_of": ()}) for cell in cells]
    assert len(methods_only(load_frame(controlled, asked))) == 10
    asked = [
        cell.model_copy(update={"control_of": ("tent",)}) for cell in cells if cell.method == "full-finetune"
    ]
    frame = load_frame(controlled, asked, others=True)
    assert "full-finetune" not in set(methods_only(frame)["method"])
    assert {row.method for row in gain_parts(frame, "linear-probe")} == {"dann", "tent"}
    assert Completeness.of(frame).others == 6, "records of other methods, none of controls"


def test_variants_of_a_method_are_apart_and_so_are_their_controls(store: Store) -> None:
    for weight, right, off in ((0.5, 20, 10), (1.0, 30, 10)):
        own = {} if weight == 1.0 else {"weight": weight}
        write(store, "dann", (right, right), OFF, overrides=own)
        write(store, "dann", (off, off), OFF, overrides=OFF, control_of=("dann",))
    found = {row.method: row.idea.points for row in gain_parts(load_frame(store), "linear-probe")}
    assert found == {"dann": pytest.approx(50.0), "dann (weight=0.5)": pytest.approx(25.0)}


def test_a_named_control_of_several_variants_is_that_of_defaults(store: Store) -> None:
    write(store, "tent", (20, 20), "full-finetune")
    for rate, right in ((0.1, 4), (0.2, 8)):
        write(store, "full-finetune", (right, right), overrides={"learning_rate": rate})
    assert gain_parts(load_frame(store), "linear-probe") == [], "which of two, cannot be said"
    write(store, "full-finetune", (10, 10))
    (row,) = gain_parts(load_frame(store), "linear-probe")
    assert row.idea.points == pytest.approx(25.0)
