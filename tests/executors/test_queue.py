"""Cells of a run beside whatever else happens to its folder: who does them, and what is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.commands.results import maintenance as command
from bench.executors.queue import CellQueue
from bench.processes.protocol import WorkerHandle
from bench.records.leases import Leases
from bench.records.record import Digests, Outcome
from bench.records.store import Store
from bench.spec.cell import Cell
from tests.quick import TODAY, RecordingWatcher, expected, quick_cell

CELL = quick_cell(0)
STALE = Digests(method="other", engine="e", dataset="d")


class NoWorker:
    """Stands for a worker: the queue only tells them apart."""


def queue_of(store: Store, cells: Sequence[Cell] = (CELL,)) -> CellQueue:
    """Queue of a run that has found these cells missing."""
    store.missing(cells, {"quick": TODAY})
    return CellQueue(cells, "quick", {"quick": TODAY}, store, RecordingWatcher(), Leases(store.root))


def take(queue: CellQueue) -> tuple[WorkerHandle, str | None]:
    """Take a cell and give it to a worker; the version that its record is to replace."""
    queued = queue.take()
    assert queued is not None
    worker: WorkerHandle = NoWorker()  # type: ignore[assignment]
    queue.assign(worker, queued)
    return worker, queued.seen


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "results")
    store.prepare()
    return store


def stale() -> tuple:
    """A done record of other code."""
    record, predictions = expected(CELL)
    return record.model_copy(update={"digests": STALE, "created": "before"}), predictions


def failed(**changes: object) -> tuple:
    """A failed record of today's code."""
    outcome = Outcome(status="failed", reason="took too long")
    return expected(CELL)[0].model_copy(update={"outcome": outcome, "created": "now", **changes}), {}


def test_a_record_that_is_moved_away_while_a_run_waits_is_done(store: Store) -> None:
    store.write(*stale())
    queue = queue_of(store)
    path = store.path(CELL.key)
    path.write_bytes(path.read_bytes()[:-9])
    assert command.verify(str(store.root)) == 1
    assert not path.exists()
    worker, seen = take(queue)
    store.write(*expected(CELL), seen)
    assert queue.complete(worker) == store.read(CELL.key)
    assert store.read(CELL.key) is not None


def test_a_record_that_is_damaged_while_a_run_waits_is_replaced(store: Store) -> None:
    store.write(*stale())
    queue = queue_of(store)
    store.path(CELL.key).write_bytes(b"{")
    worker, seen = take(queue)
    assert store.write(*expected(CELL), seen).digests == TODAY
    completed = queue.complete(worker)
    assert completed
    assert completed.done


def test_a_stale_record_that_is_merged_while_a_run_waits_is_replaced(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    other.prepare()
    other.write(*stale())
    queue = queue_of(store)
    assert command.merge(str(store.root), (str(other.root),)) == 0
    worker, seen = take(queue)
    assert store.write(*expected(CELL), seen).digests == TODAY
    queue.complete(worker)
    found = store.read(CELL.key)
    assert found
    assert found.digests == TODAY


def test_what_another_process_has_done_is_not_done_again(store: Store) -> None:
    queue = queue_of(store)
    store.write(*expected(CELL))
    assert queue.take() is None
    assert not queue.waiting
    watcher = queue.watcher
    assert isinstance(watcher, RecordingWatcher)
    assert [record.key for record in watcher.from_elsewhere] == [CELL.key]
    with Leases(store.root).holding(CELL.key) as held:
        assert held


@pytest.mark.parametrize("status", ["failed", "skipped"])
@pytest.mark.parametrize("before", ["stale", "current"])
def test_a_run_that_fails_beside_a_done_record(store: Store, status: str, before: str) -> None:
    earlier = store.write(*(stale() if before == "stale" else expected(CELL)))
    queue = queue_of(store)
    worker, seen = take(queue)
    attempt = failed(outcome=Outcome(status=status, reason="took too long"))
    assert store.write(*attempt, seen) == earlier
    told = queue.complete(worker)
    assert told
    assert told.outcome.status == status
    watcher = queue.watcher
    assert isinstance(watcher, RecordingWatcher)
    assert [record.outcome.status for record in watcher.records] == [status]
    assert watcher.notes == [f"{CELL.title}: {status}; its earlier record stays"]
    assert store.read(CELL.key) == earlier
    assert store.predictions(earlier).keys() == expected(CELL)[1].keys()
    # A stale one stays stale: the next run tries again, and this one does not.
    todo, count = store.missing([CELL], {"quick": TODAY})
    assert (len(todo), count) == ((1, 1) if before == "stale" else (0, 0))
    assert queue.take() is None
    assert not queue.waiting


def test_a_worker_that_dies_beside_a_done_record(store: Store) -> None:
    """The record of a cell whose worker could not is no record in place of a done one."""
    earlier = store.write(*stale())
    queue = queue_of(store)
    worker, _ = take(queue)
    record = earlier.request
    queue.fail(worker, "killed", "log", record.setting, earlier.environment)
    assert store.read(CELL.key) == earlier
    attempt = store.latest(CELL.key)
    assert attempt
    assert (attempt.outcome.status, attempt.outcome.log) == ("failed", "log")
