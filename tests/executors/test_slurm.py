"""Slurm: events of its jobs, and, where it can be installed, the whole of it on this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.executors.messages import JobEvent, WorkItem
from bench.executors.slurm_job import EventLog, main, read_work, run_work, write_work
from bench.records.record import Record
from bench.records.store import Store
from bench.spec.cell import Cell
from tests.quick import TODAY, RecordingWatcher, expected, quick_cell, quick_options, quick_pool, worked
from tests.slurm_here import running, why_not
from tests.support.cells import assert_equal
from tests.support.checkout import ROOT, bench

pytest.importorskip("submitit", reason="submitit is not installed: pip install 'transfer-bench[slurm]'")

from bench.executors import slurm

TINY = ["run", "--suite", "smoke", "--backbone", "test_efficientnet.untrained"]
TINY += ["--methods", "full-finetune", "--seeds", "0,1,2"]


def test_without_slurm(tmp_path: Path) -> None:
    process = bench(*TINY, "--executor", "slurm", cwd=tmp_path, PATH=str(Path(sys.executable).parent))
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1].startswith("error: --executor slurm needs Slurm's commands")


def test_what_a_job_tells_is_passed_on_once(tmp_path: Path) -> None:
    cell = quick_cell(0)
    left = {cell.key: cell}
    jobs, watcher, store = slurm.JobArray("1", tmp_path), RecordingWatcher(), Store(tmp_path)
    line = JobEvent(kind="note", text="hello").model_dump_json()
    file = tmp_path / "events-0.jsonl"
    file.write_text(f"{line}\n{line[:9]}")
    for _ in range(2):
        for event in jobs.events():
            slurm.report(event, left, store, watcher)
    assert watcher.notes == ["hello"], "half a line waits"
    with file.open("a") as more:
        more.write(line[9:] + "\n")
    assert list(jobs.events()) == [JobEvent(kind="note", text="hello")]
    # A job that says so, and no record: the cell is still to be done.
    finished = JobEvent(kind="finished", key=cell.key)
    slurm.report(finished, left, store, watcher)
    assert (len(left), watcher.records) == (1, [])
    store.write(*expected(cell))
    for _ in range(2):
        slurm.report(finished, left, store, watcher)
    assert (len(left), [record.key for record in watcher.records]) == (0, [cell.key])


def test_a_share_does_what_nobody_has_done_since_it_was_asked_for(tmp_path: Path) -> None:
    store, folder = Store(tmp_path), tmp_path / "jobs"
    store.prepare()
    cells = [quick_cell(seed) for seed in range(3)]
    store.write(*expected(cells[0]))
    store.write(*expected(cells[1]))
    seen = {cell.key: store.version(cell.key) for cell in cells}
    # All three are asked for, two of them anew; another process then does the second.
    work = WorkItem(
        root=tmp_path,
        cells=tuple(cells),
        suite="quick",
        seen=seen,
        digests={"quick": TODAY},
        options=quick_options(2),
        timeout=None,
    )
    write_work(folder, work)
    assert read_work(folder) == work
    assert [cell.key for cell in read_work(folder).cells] == [cell.key for cell in cells]
    record, arrays = expected(cells[1])
    store.write(record.model_copy(update={"created": "later"}), arrays)
    pool = quick_pool(2)
    os.environ["BENCH_QUICK_LOG"] = str(tmp_path / "worked.txt")
    try:
        assert run_work(read_work(folder), pool, EventLog(folder / "events-0.jsonl")) == 0
    finally:
        pool.close()
        del os.environ["BENCH_QUICK_LOG"]
    assert sorted(worked(tmp_path)) == sorted([cells[0].key, cells[2].key])
    events = [*slurm.JobArray("1", folder).events()]
    assert {event.key for event in events if event.kind == "finished"} == {cell.key for cell in cells}


@pytest.mark.parametrize("content", ['{"root": ".", "cells": [], "count": 2}', '{"root": "', "[]"])
def test_work_of_an_older_layout_is_one_line(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work.json").write_text(content)
    with pytest.raises(UserError, match=r"work\.json' has the layout of another version \("):
        read_work(tmp_path)
    assert main(tmp_path, 0) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [event.kind for event in slurm.JobArray("1", tmp_path).events()] == ["error"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a Slurm with one node, which is this machine."""
    if reason := why_not():
        pytest.skip(reason)
    try:
        with running(tmp_path_factory.mktemp("slurm")) as environment:
            yield environment
    except RuntimeError as error:
        pytest.skip(str(error))


def go(root: Path, cells: list[Cell], watcher: RecordingWatcher) -> None:
    """Run quick cells in two jobs."""
    store = Store(root)
    store.prepare()
    slurm.Slurm(quick_options(2)).run(cells, "quick", {"quick": TODAY}, store, watcher)


@pytest.fixture
def joined(cluster: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This process as a user of it."""
    for name in ("SLURM_CONF", "PYTHONPATH"):
        monkeypatch.setenv(name, {**cluster, "PYTHONPATH": str(ROOT)}[name])
    monkeypatch.setenv("BENCH_QUICK_LOG", str(tmp_path / "worked.txt"))
    monkeypatch.setattr(slurm, "STATE_POLL", 1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("joined")
def test_each_cell_once_in_jobs(tmp_path: Path) -> None:
    cells = [quick_cell(seed, do="slow") for seed in range(6)]
    watcher = RecordingWatcher()
    go(tmp_path, cells, watcher)
    store = Store(tmp_path)
    for cell in cells:
        record = store.read(cell.key)
        wanted, arrays = expected(cell)
        assert record is not None
        assert record.evaluations == wanted.evaluations
        assert_equal(store.predictions(record), arrays)
    assert sorted(worked(tmp_path)) == sorted(cell.key for cell in cells)
    assert {record.key for record in watcher.records} == {cell.key for cell in cells}
    assert re.search(r"job \d+_0: running on ", "\n".join(watcher.notes)), watcher.notes


@pytest.mark.slow
@pytest.mark.usefixtures("joined")
def test_a_requeued_job_loses_nothing(tmp_path: Path) -> None:
    """Both jobs are queued again in the midst of a cell; what they had begun is done in the end."""
    cells = [quick_cell(seed, do="slow") for seed in range(6)]
    watcher, left = RecordingWatcher(), [True]
    finished = watcher.finished

    def requeue(record: Record) -> None:
        finished(record)
        if left:
            left.clear()
            array = next(re.findall(r"Slurm jobs (\d+)", note) for note in watcher.notes)[0]
            subprocess.run(["scontrol", "requeue", array], check=True)

    watcher.finished = requeue  # type: ignore[method-assign]
    go(tmp_path, cells, watcher)
    assert not left
    assert {record.key for record in watcher.records} == {cell.key for cell in cells}
    assert len(Store(tmp_path).keys()) == 6
    assert list((tmp_path / "leases").iterdir()) == []


def start(folder: Path, environment: dict[str, str], *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench", *TINY, "--executor", "slurm", "--workers", "2", *more]
    env = {**environment, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"}
    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def lines_until(process: subprocess.Popen[str], pattern: str) -> list[str]:
    """What it prints up to a line that matches, which must come."""
    assert process.stdout is not None
    found = []
    for line in process.stdout:
        found.append(line)
        if re.search(pattern, line):
            return found
    raise AssertionError("".join(found))


@pytest.mark.slow
def test_the_same_predictions_as_without_slurm(cluster: dict[str, str], tmp_path: Path) -> None:
    local = bench(*TINY, "--results", "local", cwd=tmp_path, OMP_NUM_THREADS="1")
    assert local.returncode == 0, local.stderr
    far = start(tmp_path, cluster, "--results", "far")
    said, _ = far.communicate()
    assert far.returncode == 0, said
    assert re.search(r"^Slurm jobs \d+, 2 of them", said, re.M)
    assert re.search(r"^job \d+_[01]: running on ", said, re.M)
    assert "[9/9] done" in said
    one, two = Store(tmp_path / "local"), Store(tmp_path / "far")
    assert one.keys() == two.keys()
    for record in one.records():
        other = two.read(record.key)
        assert other is not None
        assert other.evaluations == record.evaluations
        assert_equal(two.predictions(other), one.predictions(record))


@pytest.mark.slow
def test_a_job_that_is_queued_again_loses_nothing(cluster: dict[str, str], tmp_path: Path) -> None:
    process = start(tmp_path, cluster)
    first = lines_until(process, r"^\[1/9\]")
    array = re.search(r"Slurm jobs (\d+)", "".join(first))
    assert array
    subprocess.run(["scontrol", "requeue", f"{array[1]}_0"], env=cluster, check=True)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    assert len(Store(tmp_path / "results/smoke").keys()) == 9
    assert not [*tmp_path.rglob("*.lock"), *tmp_path.rglob(".tmp-*")]


@pytest.mark.slow
def test_an_interrupted_driver_cancels_its_jobs(cluster: dict[str, str], tmp_path: Path) -> None:
    process = start(tmp_path, cluster)
    lines_until(process, r"^\[1/9\]")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate()
    assert process.returncode == 130, said
    kept = re.search(r"^interrupted: (\d+) of 9 cells recorded; the same command goes on", said, re.M)
    assert kept, said
    queue = subprocess.run(["squeue", "--noheader"], env=cluster, capture_output=True, text=True, check=True)
    assert queue.stdout == ""
    assert 1 <= len(Store(tmp_path / "results/smoke").keys()) < 9
    assert not [*tmp_path.rglob("*.lock"), *tmp_path.rglob(".tmp-*")]


@pytest.mark.slow
def test_what_slurm_refuses(cluster: dict[str, str], tmp_path: Path) -> None:
    suite = (ROOT / "bench/suites/smoke.toml").read_text()
    (tmp_path / "far.toml").write_text(f'{suite}\n[executor]\npartition = "moon"\n')
    command = ["run", "--suite", "far.toml", "--backbone", "test_efficientnet.untrained"]
    process = bench(*command, "--executor", "slurm", cwd=tmp_path, **cluster)
    assert process.returncode == 2
    assert re.search(r"^error: Slurm does not take the jobs: .*partition", process.stderr, re.M), (
        process.stderr
    )
