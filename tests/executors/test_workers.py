"""Worker processes that raise, hang or die; leases between several runs; interruptions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import UserError
from bench.executors.protocol import ExecutorOptions
from bench.executors.worker_pool import WorkerPool
from bench.processes.signals import Interrupted
from bench.records.store import Store
from tests.quick import TODAY, RecordingWatcher, expected, quick_cell, quick_pool, run_quick, worked
from tests.support.checkout import ROOT


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_QUICK_LOG", str(tmp_path / "worked.txt"))


def status(root: Path) -> dict[int, str]:
    return {r.request.cell.seed: r.outcome.status for r in Store(root).records()}


def assert_whole(root: Path, seeds: range) -> None:
    """Every cell has the record and the predictions that it should have."""
    store = Store(root)
    assert len(store.keys()) == len(seeds)
    for seed in seeds:
        cell = quick_cell(seed, seconds=0.0)
        record = store.read(cell.key)
        wanted, arrays = expected(cell)
        assert record is not None, store.unreadable
        assert record.evaluations == wanted.evaluations
        found = store.predictions(record)
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("workers", [1, 3])
def test_each_cell_once(tmp_path: Path, workers: int) -> None:
    cells = [quick_cell(seed, seconds=0.0) for seed in range(12)]
    seen = run_quick(tmp_path, cells, workers)
    assert_whole(tmp_path, range(12))
    assert {record.key for record in seen.records} == {cell.key for cell in cells}
    assert len(worked(tmp_path)) == 12
    assert list((tmp_path / "leases").iterdir()) == []
    again = run_quick(tmp_path, cells, workers)
    assert (again.records, len(worked(tmp_path))) == ([], 12)


def test_what_goes_wrong_becomes_a_record_and_the_rest_goes_on(tmp_path: Path) -> None:
    cells = [quick_cell(seed, do=do) for seed, do in enumerate(["die", "exit", "hang", "die once"])]
    cells.append(quick_cell(4))
    seen = run_quick(tmp_path, cells, timeout=1.0)
    assert status(tmp_path) == {0: "failed", 1: "failed", 2: "failed", 3: "done", 4: "done"}
    outcome = {record.request.cell.seed: record.outcome for record in seen.records}
    assert "SIGKILL: out of memory" in outcome[0].reason
    assert "exit code 3" in outcome[1].reason
    assert "took longer than 1 s; was at: start" in outcome[2].reason
    # What it printed last, and where it hung.
    assert "working on 0" in outcome[0].log
    assert "working on 2" in outcome[2].log
    assert "in work" in outcome[2].log
    tries = Counter(worked(tmp_path))
    assert [tries[cell.key] for cell in cells] == [2, 2, 1, 2, 1]
    assert list((tmp_path / "leases").iterdir()) == []


def test_a_worker_that_cannot_start(tmp_path: Path) -> None:
    pool = WorkerPool(ExecutorOptions(device="cpu", module="tests.no_such_module"))
    with pytest.raises(UserError, match=r"a worker process did not start: .*no_such_module"):
        pool.prepare([], print)
    pool.close()


def run_elsewhere(
    root: Path, cells: int, seconds: float = 0, workers: int = 1, **popen: int
) -> subprocess.Popen[str]:
    """The same in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.quick", str(root), str(cells), str(seconds), str(workers)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        **popen,
    )


def test_several_runs_share_the_cells(tmp_path: Path) -> None:
    runs = [run_elsewhere(tmp_path, 24) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert_whole(tmp_path, range(24))
    assert sorted(Counter(worked(tmp_path)).values()) == [1] * 24, "no work is done twice"


def test_the_cells_of_a_killed_run_are_taken_over(tmp_path: Path) -> None:
    first = run_elsewhere(tmp_path, 6, workers=2)
    assert first.stdout is not None
    for _ in range(2):
        assert first.stdout.readline().startswith("stored ")
    first.kill()
    first.wait()
    kept = len(Store(tmp_path).keys())
    assert kept >= 2
    run_quick(tmp_path, [quick_cell(seed, seconds=0.0) for seed in range(6)])
    assert_whole(tmp_path, range(6))


def interrupted(root: Path, do: str, *signals: signal.Signals) -> RecordingWatcher:
    """Two cells, the first of which is interrupted at once."""
    store, watcher = Store(root), RecordingWatcher()
    store.prepare()
    cells = [quick_cell(0, do=do), quick_cell(1, do=do)]
    left = list(signals)

    def interrupt() -> None:
        if left:
            os.kill(os.getpid(), left.pop(0))

    watcher.on_progress = interrupt
    pool = quick_pool()
    try:
        pool.prepare(["none"], print)
        with pytest.raises(Interrupted) as stop:
            pool.run(cells, "quick", {"quick": TODAY}, store, watcher)
        assert stop.value.signum == signals[0]
    finally:
        pool.close()
    assert list((root / "leases").iterdir()) == []
    assert watcher.notes == ["stopping: cells in hand are finished or saved; once more stops at once"]
    return watcher


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_once(tmp_path: Path, signum: signal.Signals) -> None:
    assert interrupted(tmp_path / "a", "finish", signum).records[0].outcome.status == "done"
    assert len(Store(tmp_path / "a").keys()) == 1
    assert interrupted(tmp_path / "b", "wait", signum).records == []
    assert Store(tmp_path / "b").keys() == []


def test_interrupted_twice(tmp_path: Path) -> None:
    assert interrupted(tmp_path, "wait", signal.SIGINT, signal.SIGINT).records == []
    assert Store(tmp_path).keys() == []


def test_a_worker_that_is_asked_to_stop_by_somebody_else(tmp_path: Path) -> None:
    """Its cell is begun anew; the run goes on."""
    store, watcher = Store(tmp_path), RecordingWatcher()
    store.prepare()
    pool = quick_pool()
    try:
        pool.prepare(["none"], print)
        asked: list[int] = []

        def terminate() -> None:
            if len(asked) < 2:
                asked.append(pool.pids[0])
                os.kill(pool.pids[0], signal.SIGTERM)

        watcher.on_progress = terminate
        pool.run([quick_cell(0, do="finish")], "quick", {"quick": TODAY}, store, watcher)
    finally:
        pool.close()
    assert len(store.keys()) == 1
