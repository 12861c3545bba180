"""Every kind of scenario gives the same predictions wherever it runs, shared or not, and after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from bench.records.store import Store
from bench.spec.scenarios import KINDS
from tests.same_answers import differences
from tests.slurm_here import running, why_not
from tests.support.checkout import ROOT

pytestmark = pytest.mark.slow

SUITE = """
description = "every kind"
dataset = "emoji-home@2"
domains = ["google", "twitter", "apple"]
classes = 4
image_size = 32
backbones = ["test_efficientnet.untrained"]
methods = ["full-finetune", "dann", "group-dro", "osbp", "shot", "tent", "replay", "scaffold", "eszsl"]
seeds = [0]

[budget]
steps = 4
batch_size = 12
evaluations = 2

[[scenarios]]
kind = "cross-domain"
sources = ["google"]
targets = ["twitter"]
shots = [0, 2]
stream = { batch = 16, order = "by-class" }

[[scenarios]]
kind = "pretrained"
targets = ["twitter"]
shots = [2]

[[scenarios]]
kind = "cross-task"
targets = ["google"]
shots = [2]

[[scenarios]]
kind = "cross-domain-task"
sources = ["google"]
targets = ["twitter"]
shots = [2]

[[scenarios]]
kind = "multi-source"
sources = [["apple", "google"]]
targets = ["twitter"]
shots = [0]

[[scenarios]]
kind = "generalise"
hold_out = ["twitter"]
shots = [0]

[[scenarios]]
kind = "partial"
sources = ["google"]
targets = ["twitter"]
target_classes = 2
shots = [0]

[[scenarios]]
kind = "open"
sources = ["google"]
targets = ["twitter"]
unknown = 2
shots = [0]

[[scenarios]]
kind = "source-free"
sources = ["google"]
targets = ["twitter"]
shots = [0]

[[scenarios]]
kind = "zero-shot"
targets = ["google"]
shots = [0]

[[scenarios]]
kind = "continual"
shots = ["all"]

[[scenarios]]
kind = "federated"
rounds = 2
local_steps = 2
shots = ["all"]
"""


def start(folder: Path, name: str, *options: str, **environment: str) -> subprocess.Popen[str]:
    """The suite into a folder of results, as a command of one thread."""
    command = [sys.executable, "-m", "bench", "run", "--suite", "kinds.toml", "--results", name, *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**env, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, name: str, *options: str, **environment: str) -> Store:
    """Results of the suite."""
    process = start(folder, name, *options, **environment)
    _, said = process.communicate()
    assert process.returncode == 0, said
    return Store(folder / name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("kinds")
    (found / "kinds.toml").write_text(SUITE, encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def here(folder: Path) -> Store:
    """What one process of this machine answers."""
    store = run(folder, "here")
    assert {record.outcome.status for record in store.records()} == {"done", "skipped"}
    done = [record for record in store.records() if record.outcome.status == "done"]
    assert {record.request.cell.scenario.kind for record in done} == {*KINDS}
    assert any(stage.shared_seconds for record in done for stage in record.cost.stages.values())
    return store


def test_without_sharing(here: Store, folder: Path) -> None:
    found = run(folder, "alone", "--no-share")
    assert differences(here, found) == []
    spent = [stage for record in found.records() for stage in record.cost.stages.values()]
    assert not any(stage.shared_seconds for stage in spent)


def test_on_ray(here: Store, folder: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'transfer-bench[ray]'")
    # Its workers are not put behind whatever else runs here.
    found = run(folder, "ray", "--executor", "ray", "--workers", "2", RAY_worker_niceness="0")
    assert differences(here, found) == []


def test_on_slurm(here: Store, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: pip install 'transfer-bench[slurm]'")
    if reason := why_not():
        pytest.skip(reason)
    with running(tmp_path) as environment:
        found = run(folder, "slurm", "--executor", "slurm", "--workers", "2", **environment)
    assert differences(here, found) == []


def test_after_kills(here: Store, folder: Path) -> None:
    """Killed with whatever is at work, thrice: the same command goes on, with nothing lost or left behind."""
    for times in range(1, 4):
        process = start(folder, "killed")
        assert process.stderr is not None
        assert len(list(islice(cells_of(process.stderr), 5))) == 5, "killed too late"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert 5 * times <= len(Store(folder / "killed").keys()) < len(here.keys())
    assert differences(here, run(folder, "killed")) == []
    assert not [*(folder / "killed").rglob("*.lock"), *(folder / "killed").rglob(".tmp-*")]


def cells_of(lines: Iterable[str]) -> Iterator[str]:
    """Lines that tell of a cell that is done."""
    return (line for line in lines if line.startswith("["))
