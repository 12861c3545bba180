"""Cells one after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from bench.executors.events import Watcher
from bench.record import Digests
from bench.runner import Context, run_cell
from bench.store import Store
from bench.suite import Cell


def execute(
    cells: Iterable[Cell], context: Context, digests: Mapping[str, Digests], store: Store, watcher: Watcher
) -> None:
    """Run each cell and store its record as soon as it is there."""
    torch.set_num_threads(context.setting.threads)
    for cell in cells:
        watcher.started(cell)
        record, predictions = run_cell(
            cell,
            context,
            digests[cell.method],
            lambda what, done, total, cell=cell: watcher.progress(cell, what, done, total),  # type: ignore[misc]
        )
        watcher.finished(store.write(record, predictions))
