"""Today's code and data, and the executor that cells run in."""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

import click

from bench.commands.progress import Score, showing, test_accuracy, watch
from bench.core.digest import engine_digest
from bench.core.errors import UserError
from bench.core.paths import skip_bad
from bench.core.text import printable
from bench.data.catalog import load_card
from bench.data.dataset import BadImages, Dataset, open_dataset
from bench.executors.factory import Executor, create
from bench.executors.protocol import ExecutorOptions
from bench.method.registry import method_digest
from bench.processes.garbage import import_in_background
from bench.processes.signals import Interrupted
from bench.records.record import Digests
from bench.records.store import Store
from bench.spec.cell import Cell
from bench.spec.matrix.suite import Suite


@dataclass(frozen=True)
class Means:
    """What cells are run with."""

    device: str = "auto"
    workers: int | None = None
    """Cells at once, if it was said."""
    timeout: float | None = None
    """Seconds after which a cell has failed."""
    share: bool = True
    """Whether cells share features and source stages, or each makes its own."""
    executor: str = "local"
    address: str | None = None
    """Of a Ray cluster."""
    cells_per_device: int | None = None
    """Cells that share an accelerator, if it was said."""
    keep_features: bool = False
    """Whether cells keep features, whatever the suite says."""

    def ask(self, suite: Suite) -> ExecutorOptions:
        """What the suite's table says, and before that what was said here."""
        said = {
            "workers": self.workers,
            "cells_per_device": self.cells_per_device,
            "keep_features": self.keep_features,
        }
        said = {name: value for name, value in said.items() if value}
        return ExecutorOptions(
            device=self.device,
            share=self.share,
            address=self.address,
            resources=suite.executor.model_copy(update=said),
        )


def today(suite: Suite) -> dict[str, Digests]:
    """Digests of the code and the data as they are now, by method."""
    with showing() as progress:
        dataset = open_dataset(load_card(suite.dataset), progress)
    for warning in dataset.warnings:
        click.echo(printable(f"warning: {warning}"), err=True)
    fingerprint = dataset.fingerprint
    return {
        method: Digests(method=method_digest(method), engine=engine_digest(), dataset=fingerprint)
        for method in suite.methods
    }


def prepare(cells: Sequence[Cell]) -> bool:
    """Decode what the cells need, before any of them runs; whether images were found bad and left out.

    Raises:
        UserError: a domain has no images, or some cannot be decoded and are not to be left out.
    """
    needs = dict.fromkeys(
        (cell.scenario.dataset, domain, cell.image_size)
        for cell in cells
        for domain in (cell.scenario.source, cell.scenario.target)
        if domain
    )
    problems: dict[str, str] = {}
    left_out = False
    opened: dict[str, Dataset] = {}
    with showing() as progress:
        for name, domain, size in needs:
            for _ in range(2):
                dataset = opened.get(name) or open_dataset(load_card(name), progress)
                try:
                    dataset.pixels(domain, size, progress)
                    opened[name] = dataset
                    break
                except BadImages as error:
                    if not skip_bad():
                        problems[domain] = str(error)
                        break
                    click.echo(printable(f"warning: left out: {error}"), err=True)
                    left_out = True
                    opened.pop(name, None)
    if problems:
        raise UserError(
            f"{'; '.join(problems.values())}. Mend or remove them (python -m bench data check lists every "
            "fault), or leave them out with --skip-bad"
        )
    return left_out


def run_cells(
    cells: Sequence[Cell],
    suite: Suite,
    means: Means,
    digests: dict[str, Digests],
    store: Store,
    score: Score = test_accuracy,
) -> None:
    """Run cells; each record is stored as soon as it is there, and its `score` shown.

    Raises:
        UserError: the executor, the device or a backbone is out of reach; nothing has run then.
        KeyboardInterrupt: with a line that says what is kept.
    """
    executor = executor_for(means, suite)
    if prepare(cells):
        digests = today(suite)
    # What the results are shown with takes as long to load as what a worker needs, which cells wait for.
    import_in_background("bench.report.render.page")
    executor.prepare(
        list(dict.fromkeys(cell.backbone for cell in cells)), lambda text: click.echo(text, err=True)
    )
    with watch(cells, score, executor.count) as watcher:
        try:
            executor.run(cells, suite.name, digests, store, watcher, means.timeout)
            return
        except Interrupted as interrupted:
            signum = interrupted.signum
    kept = f"{watcher.done} of {watcher.total} cells recorded; the same command goes on from there"
    if signum == signal.SIGTERM:
        click.echo(f"terminated: {kept}", err=True)
        raise SystemExit(128 + signum)
    raise KeyboardInterrupt(kept)


_running: dict[str, Executor] = {}


def executor_for(means: Means, suite: Suite) -> Executor:
    """An executor that lives on to the end of this process: loading libraries takes longer than many cells.

    One for other means, another folder or other environment variables of ours is let go.
    """
    ours = sorted((name, value) for name, value in os.environ.items() if name.startswith("BENCH_"))
    ask = means.ask(suite)
    key = repr((means.executor, ask, os.getcwd(), ours))
    if key not in _running:
        close_executor()
        _running[key] = create(means.executor, ask)
        # Now, not before: what ends last at exit began first, and an executor needs its libraries to end.
        atexit.unregister(close_executor)
        atexit.register(close_executor)
    return _running[key]


def close_executor() -> None:
    """End it."""
    while _running:
        _running.popitem()[1].close()
