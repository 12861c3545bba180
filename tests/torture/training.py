"""Cells that train in one process, which a fault can strike: features, source stages and checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.data.dataset import silent
from bench.engine.cell.runner import Context, run_cell
from bench.engine.training import checkpoints
from bench.engine.training.artifacts import Artifacts
from bench.executors.queue import cannot_write
from bench.records.record import Cost
from bench.records.store import Store
from bench.spec.cell import Setting
from tests.support.cells import WHERE, digests, tiny_cell


@click.command("train")
def command() -> None:
    """Run two cells as a worker does, with a checkpoint after every step; times are left out of records."""
    checkpoints.EVERY = 0.0
    store = Store(Path("results/cells"))
    store.prepare()
    done = True
    for method in ("linear-probe", "full-finetune"):
        cell = tiny_cell(method)
        before = store.read(cell.key)
        if before and before.outcome.status == "done":
            continue
        context = Context("tests", Setting(), WHERE, Artifacts(), store.root / "checkpoints")
        record, predictions = run_cell(cell, context, digests(method), silent)
        if record.outcome.status != "done":
            click.echo(f"failed: {record.outcome.reason}", err=True)
            done = False
        record = record.model_copy(update={"cost": Cost(), "created": ""})
        try:
            store.write(record, predictions)
        except OSError as error:
            raise cannot_write(store.root, error) from None
    sys.exit(0 if done else 1)
