"""Worker processes that raise, hang or die; leases between several runs; interruptions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest

from bench.core.errors import UserError
from bench.executors.messages import CellRequest
from bench.executors.protocol import ExecutorOptions
from bench.executors.worker_pool import WorkerPool
from bench.processes.descendants import MARK, new_mark
from bench.processes.local import TAIL_BYTES
from bench.processes.signals import Interrupted
from bench.records.record import Record
from bench.records.store import Store
from bench.spec.cell import Setting
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


class Busy(RecordingWatcher):
    """Watcher that is busy at the first cell's end until the other has its record, and no time left."""

    def __init__(self, store: Store, timeout: float) -> None:
        super().__init__()
        self._store, self._timeout = store, timeout

    def finished(self, record: Record) -> None:
        super().finished(record)
        while len(self._store.keys()) < 2:
            time.sleep(0.05)
        if len(self.records) == 1:
            time.sleep(self._timeout)


def test_a_cell_whose_answer_has_waited_is_done(tmp_path: Path) -> None:
    """Whoever reads the answers took longer than it may, as where a page is built meanwhile."""
    cells, store = [quick_cell(seed) for seed in range(2)], Store(tmp_path)
    store.prepare()
    watcher, pool = Busy(store, timeout=3.0), quick_pool(2)
    try:
        pool.prepare(["none"], print)
        pool.run(cells, "quick", {"quick": TODAY}, store, watcher, timeout=3.0)
    finally:
        pool.close()
    assert [record.outcome.status for record in watcher.records] == ["done", "done"]
    assert status(tmp_path) == {0: "done", 1: "done"}


@pytest.mark.parametrize("do", ["start others", "start others and die"])
def test_what_a_method_starts_ends_with_the_run(tmp_path: Path, do: str) -> None:
    """A child, one in a session of its own, and one whose parent has ended; also where the worker died."""
    run_quick(tmp_path, [quick_cell(0, do=do)])
    started = others(tmp_path)
    assert len(started) == (6 if do.endswith("die") else 3)
    assert_gone(started)


def test_what_a_method_starts_ends_where_the_run_is_killed(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from tests.quick import quick_cell, run_quick\n"
    script += "run_quick(Path(sys.argv[1]), [quick_cell(0, do='start others'), quick_cell(1, do='until')])"
    run = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    started = started_by_two(tmp_path)
    run.kill()
    run.wait()
    assert_gone(started)


def test_what_a_method_starts_ends_where_nobody_reads_the_answers(tmp_path: Path) -> None:
    """A worker may notice that the run is gone as it answers, before it sees the end of its input."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.quick"],
        env={**os.environ, "PYTHONPATH": str(ROOT), MARK: new_mark()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    for number, do in enumerate(("start others", "until")):
        request = CellRequest(
            cell=quick_cell(number, do=do),
            suite="quick",
            setting=Setting(),
            digests=TODAY,
            root=tmp_path,
            seen=None,
            share=False,
            artifacts=None,
            devices=(),
            keep_features=False,
        )
        worker.stdin.write(request.model_dump_json() + "\n")
        worker.stdin.flush()
    started = started_by_two(tmp_path)
    worker.stdout.close()
    worker.wait(timeout=30)
    assert_gone(started)


def started_by_two(root: Path) -> list[int]:
    """Three running processes that the first of two cells has started, once the second has begun."""
    deadline = time.monotonic() + 60
    while len(worked(root)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    started = others(root)
    assert len(started) == 3
    assert all(map(running, started))
    return started


def others(root: Path) -> list[int]:
    """Numbers of the processes that cells have started."""
    return [int(pid) for pid in (root / "worked.txt.pids").read_text().split()]


def running(pid: int) -> bool:
    """Whether a process runs; one that has ended may be listed until its parent asks for it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assert_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 30
    while any(map(running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if running(pid)]


def test_a_log_is_bounded_and_its_end_is_kept(tmp_path: Path) -> None:
    """Of 20 MB a few kB, none of them on a disk."""
    seen = run_quick(tmp_path, [quick_cell(0, do="loud")])
    log = seen.records[0].outcome.log
    assert log.endswith("the end")
    assert len(log) <= TAIL_BYTES


def test_failed_records_hold_neither_secrets_nor_where_a_home_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "jane"))
    monkeypatch.setenv("SOME_API_TOKEN", "hunter2hunter2")
    monkeypatch.setenv("QUICK_SAYS", f"hunter2hunter2 of {tmp_path}/jane/photos/cat.jpg")
    seen = run_quick(tmp_path, [quick_cell(0, do="say")])
    log = seen.records[0].outcome.log
    assert "$SOME_API_TOKEN of ~/photos/cat.jpg" in log
    assert "hunter2" not in log
    assert str(tmp_path) not in log


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
    # Where tests run under `nohup` or in the background of a shell, it has some ignored.
    before = {signum: signal.signal(signum, signal.SIG_DFL) for signum in signals}
    pool = quick_pool()
    try:
        pool.prepare(["none"], print)
        with pytest.raises(Interrupted) as stop:
            pool.run(cells, "quick", {"quick": TODAY}, store, watcher)
        assert stop.value.signum == signals[0]
    finally:
        pool.close()
        for signum, handler in before.items():
            signal.signal(signum, handler)
    assert list((root / "leases").iterdir()) == []
    assert watcher.notes == ["stopping: cells in hand are finished or saved; once more stops at once"]
    return watcher


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_once(tmp_path: Path, signum: signal.Signals) -> None:
    assert interrupted(tmp_path / "a", "finish", signum).records[0].outcome.status == "done"
    assert len(Store(tmp_path / "a").keys()) == 1
    assert interrupted(tmp_path / "b", "wait", signum).records == []
    assert Store(tmp_path / "b").keys() == []


def test_a_hangup_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As under `nohup`."""
    store, watcher = Store(tmp_path), RecordingWatcher()
    store.prepare()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    watcher.on_progress = lambda: os.kill(os.getpid(), signal.SIGHUP)
    pool = quick_pool()
    try:
        pool.prepare(["none"], print)
        pool.run([quick_cell(0, do="slow")], "quick", {"quick": TODAY}, store, watcher)
    finally:
        signal.signal(signal.SIGHUP, before)
        pool.close()
    assert len(store.keys()) == 1


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
