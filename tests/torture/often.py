"""Cells that train, in workers that keep checkpoints all the time: `python -m tests.torture.often DIR`."""

from __future__ import annotations

import sys

from bench.core.errors import UserError
from bench.engine.training import checkpoints
from bench.executors.protocol import ExecutorOptions
from bench.executors.worker import Worker
from bench.executors.worker_pool import WorkerPool
from bench.processes.server import serve
from bench.records.store import Store
from bench.spec.cell import Budget, Cell
from tests.quick import RecordingWatcher

METHODS = ("full-finetune", "dann", "nas-lite")


def cells() -> list[Cell]:
    """Long enough to be killed in."""
    from tests.support.cells import tiny_cell

    budget = Budget(steps=60, batch_size=16, evaluations=3)
    return [tiny_cell(method, budget=budget, seed=seed) for seed in (0, 1) for method in METHODS]


def main(folder: str) -> None:
    """Run them to the end."""
    from tests.support.cells import digests

    store, asked = Store(folder), cells()
    store.prepare()
    today = {method: digests(method) for method in METHODS}
    pool = WorkerPool(ExecutorOptions(device="cpu", module="tests.torture.often"))
    try:
        pool.prepare([asked[0].backbone], print)
        todo, _ = store.missing(asked, today, retry_failed=True)
        pool.run(todo, "often", today, store, RecordingWatcher(loud=True))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    finally:
        pool.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        checkpoints.EVERY = 0.2
        serve(Worker)
