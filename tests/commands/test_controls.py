"""Controls through the command line: planned, run beside their methods, and on the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.commands.results.asked import asked
from bench.records.baselines import open_results
from bench.records.store import Store
from tests.support.checkout import bench

SUITE = """
description = "Two methods and the controls that they need."
dataset = "emoji-home"
domains = ["google", "twitter"]
classes = 4
image_size = 32
backbones = ["test_efficientnet.untrained"]
methods = ["full-finetune", "lp-finetune", "dann"]
baseline = "full-finetune"
controls = true
budget = { steps = 8, batch_size = 8, evaluations = 2 }

[[scenarios]]
kind = "cross-domain"
sources = ["google"]
targets = ["twitter"]
shots = [0]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("controls")
    (folder / "mine.toml").write_text(SUITE)
    return folder


def test_a_plan_counts_controls(home: Path) -> None:
    said = bench("run", "--suite", "mine.toml", "--plan", cwd=home).stdout
    assert "4 cells: 1 full-finetune, 1 lp-finetune, 2 dann\ncontrols among them: 1 (1 dann)\n" in said
    said = bench("run", "--suite", "mine.toml", "--plan", "--no-controls", cwd=home).stdout
    assert "3 cells: 1 full-finetune, 1 lp-finetune, 1 dann\n" in said
    assert "controls among" not in said


def test_controls_run_and_part_the_gains(home: Path) -> None:
    process = bench("run", "--suite", "mine.toml", "--results", "out", cwd=home)
    assert process.returncode == 0, process.stderr
    assert "suite mine: 4 cells, 0 recorded, 4 to run" in process.stdout
    found = {
        (record.request.cell.method, record.request.cell.control_of): record
        for record in Store(home / "out").records()
    }
    assert {key: record.control for key, record in found.items()} == {
        ("full-finetune", ()): None,
        ("lp-finetune", ()): "full-finetune",
        ("dann", ()): {"weight": 0.0},
        ("dann", ("dann",)): {"weight": 0.0},
    }
    accuracy = {key: 100 * record.evaluations[-1].accuracy["target-test"] for key, record in found.items()}
    idea = accuracy["dann", ()] - accuracy["dann", ("dann",)]
    recipe = accuracy["dann", ("dann",)] - accuracy["full-finetune", ()]
    row = next(line for line in process.stdout.splitlines() if line.strip().startswith("dann "))
    gains = [float(part.replace("−", "-")) for part in row.split()[2:4]]
    assert gains == [pytest.approx(value, abs=0.051) for value in (idea + recipe, idea)]
    page = (home / "out" / "report.html").read_text(encoding="utf-8")
    table = page[page.index("Gains in points, of the idea and of the recipe.") :]
    table = table[: table.index("</table>")]
    rows = re.findall(r'<tr data-method="([^"]*)"[^>]*>.*?</th><td>([^<]*)</td>', table)
    # All results are equal here, so that the order is by seconds: that of the leaderboard.
    controls = {"dann": "weight=0.0", "lp-finetune": "full-finetune"}
    printed = [line.split()[0] for line in process.stdout.splitlines() if line.strip()]
    assert rows == [(name, controls[name]) for name in printed if name in controls]
    assert len(rows) == 2
    assert "dann: its idea" in page


def test_what_the_suite_no_longer_asks_is_still_no_method(home: Path) -> None:
    """Run before without controls or after: their records are no method's rows."""
    process = bench("run", "--suite", "mine.toml", "--results", "out", "--no-controls", cwd=home)
    assert "suite mine: 3 cells, 3 recorded, 0 to run" in process.stdout
    page = (home / "out" / "report.html").read_text(encoding="utf-8")
    board = page[page.index('id="leaderboard"') : page.index('id="cost"')]
    assert "weight=0.0" not in board
    assert "Gains in points, of the idea and of the recipe." in page
    assert "answer questions that the suite does not ask" not in page


def test_a_baseline_without_controls_misses_none() -> None:
    """Of a suite that asks for controls, made before it did."""
    store = open_results("emoji-home")
    found = asked(store)
    assert found.suite
    assert found.suite.controls
    assert {cell.key for cell in found.cells} == set(store.keys())


def test_a_control_may_become_a_method(home: Path) -> None:
    """The same cell, asked for as itself, is recorded already."""
    said = bench(
        *("run", "--suite", "mine.toml", "--results", "out", "--plan"),
        *("--methods", "dann", "--set", "dann.weight=0"),
        cwd=home,
    ).stdout
    assert "suite mine: 1 cell, 1 recorded, 0 to run" in said
