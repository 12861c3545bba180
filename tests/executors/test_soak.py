"""Many cells in one worker: its memory, file descriptors and threads stay level."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import psutil
import pytest

from bench.executors.protocol import ExecutorOptions
from bench.executors.worker_pool import WorkerPool
from bench.records.record import Record
from bench.records.store import Store
from bench.spec.cell import Budget, Cell
from bench.spec.resources import Resources
from tests.quick import RecordingWatcher
from tests.support.cells import digests, tiny_cell

METHODS = ("linear-probe", "full-finetune", "dann")
BUDGET = Budget(steps=2, batch_size=8, evaluations=1)


def cells(count: int) -> list[Cell]:
    """Different questions of several methods in turn, no two of which share a stage.

    In turn, since methods need differently much memory, and the first cells are held against the last.
    """
    each = count // len(METHODS)
    return [tiny_cell(method, seed=seed, budget=BUDGET) for seed in range(each) for method in METHODS]


class Measuring(RecordingWatcher):
    """Watcher that notes the worker's processes, MiB, descriptors and threads after each cell."""

    def __init__(self, pool: WorkerPool) -> None:
        super().__init__()
        self._pool = pool
        self.workers: set[int] = set()
        self.measured: list[tuple[float, int, int]] = []

    def finished(self, record: Record) -> None:
        super().finished(record)
        (pid,) = self._pool.pids
        worker = psutil.Process(pid)
        self.workers.add(pid)
        self.measured.append((worker.memory_info().rss / 2**20, worker.num_fds(), worker.num_threads()))


# Allocators take several MiB at a time: of fewer than some eighty cells that is more than what is looked for.
@pytest.mark.parametrize("count", [pytest.param(90), pytest.param(300, marks=pytest.mark.slow)])
def test_a_worker_stays_level(count: int, tmp_path: Path, cache: Path) -> None:
    store = Store(tmp_path)
    store.prepare()
    pool = WorkerPool(ExecutorOptions(device="cpu", share=False, resources=Resources(workers=1)))
    watcher = Measuring(pool)
    try:
        asked = cells(count)
        # Each method's libraries are loaded by its first cell.
        first = asked[: len(METHODS)]
        pool.prepare([asked[0].backbone], print)
        today = {method: digests(method) for method in METHODS}
        pool.run(first, "soak", today, store, watcher)
        begin = len(watcher.measured)
        pool.run([cell for cell in asked if cell not in first], "soak", today, store, watcher)
    finally:
        pool.close()
    assert {record.outcome.status for record in watcher.records} == {"done"}
    assert not [record.warnings for record in watcher.records if "process changed" in str(record.warnings)]
    assert len(watcher.workers) == 1
    later = watcher.measured[begin:]
    assert len(later) == count - len(METHODS)
    third = len(later) // 3
    memories, *counts = zip(*later, strict=True)
    (files, files_then), (threads, threads_then) = ((max(c[:third]), max(c[-third:])) for c in counts)
    # The median, as a full collection of garbage every twenty cells or so takes forty MiB while it goes.
    memory, memory_then = median(memories[:third]), median(memories[-third:])
    assert files_then <= files
    assert threads_then <= threads
    assert memory_then <= memory + 0.1 * count, "MiB: a tenth of one for each cell"
