"""Suites whose cells are run with twice the steps until they converge."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.records.convergence import converged
from bench.records.record import Record
from bench.records.store import Store
from tests.support.checkout import bench

SUITE = """
description = ""
dataset = "emoji-home"
classes = 4
image_size = 32
backbones = ["tf_efficientnet_lite0"]
methods = ["linear-probe", "full-finetune"]
budget = { steps = 6, longest = 12, batch_size = 8, evaluations = 3 }

[[scenarios]]
kind = "cross-domain"
sources = ["google"]
targets = ["twitter"]
shots = [0, 5]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("until-converged")
    (folder / "mine.toml").write_text(SUITE)
    process = bench("run", "--suite", "mine.toml", "--results", "out", cwd=folder)
    assert process.returncode == 0, process.stderr
    return folder


def chains(folder: Path) -> dict[tuple[str, str], list[Record]]:
    found: dict[tuple[str, str], list[Record]] = {}
    for record in Store(folder / "out").records():
        cell = record.request.cell
        found.setdefault((cell.method, str(cell.scenario.shots)), []).append(record)
    return {key: sorted(runs, key=lambda r: r.request.cell.budget.steps) for key, runs in found.items()}


def test_cells_are_run_again_until_they_converge_or_have_the_most_steps(home: Path) -> None:
    found = chains(home)
    assert len(found) == 4
    for (method, _), runs in found.items():
        assert [run.request.cell.budget.steps for run in runs] == [6, 12][: len(runs)]
        *before, last = [converged(run.evaluations) for run in runs]
        assert all(said is False for said in before)
        assert last is not False or len(runs) == 2
        assert method != "linear-probe" or len(runs) == 1, "a closed form is complete"
    assert max(map(len, found.values())) > 1, "six steps are few"


def test_the_same_command_runs_nothing_again_and_tables_have_the_longest_runs(home: Path) -> None:
    found = chains(home)
    process = bench("run", "--suite", "mine.toml", "--results", "out", cwd=home)
    assert process.returncode == 0, process.stderr
    assert "4 recorded, 0 to run" in process.stdout
    assert {key: len(runs) for key, runs in chains(home).items()} == {k: len(v) for k, v in found.items()}
    bench("export", "tables", "--results", "out", cwd=home)
    pairs = pd.read_csv(home / "tables" / "tables" / "pairs.csv")
    assert len(pairs) == 4
    for row in pairs.itertuples():
        last = found[row.method, row.shots.split(",")[0]][-1]
        assert row.shots.endswith("until converged")
        assert row.accuracy == pytest.approx(100 * last.evaluations[-1].accuracy["target-test"])
