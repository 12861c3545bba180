"""Execution of cells: images are decoded, an executor is made, records are stored."""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import click

from bench.commands.experiments.cost_model import CostModel, MethodTraits, cheapest_first
from bench.commands.experiments.plan_view import recorded
from bench.commands.experiments.run_plan import RunPlan
from bench.commands.progress import (
    Ended,
    RecordScore,
    TimeToGo,
    nothing,
    progress_bars,
    test_percent,
    watch,
)
from bench.core.errors import UserError
from bench.core.paths import skip_bad
from bench.core.text import printable
from bench.data.catalog import load_card
from bench.data.dataset import BadImages, Dataset, open_dataset
from bench.executors.factory import Executor, create
from bench.executors.protocol import TrialImages
from bench.processes.garbage import import_in_background
from bench.processes.signals import Interrupted
from bench.records.record import Record
from bench.records.store import Store
from bench.spec.cell import Cell

if TYPE_CHECKING:
    import pandas as pd


def decode_images(cells: Sequence[Cell]) -> bool:
    """Decode the images of cells, before any cell runs; True if bad images were left out.

    Raises:
        UserError: a domain has no images, or some cannot be decoded and are not to be left out.
    """
    wanted = dict.fromkeys(
        (cell.scenario.dataset, domain, cell.image_size) for cell in cells for domain in cell.scenario.domains
    )
    problems: dict[str, str] = {}
    left_out = False
    opened: dict[str, Dataset] = {}
    with progress_bars() as progress:
        for name, domain, size in wanted:
            for last in (False, False, True):
                dataset = opened.get(name) or open_dataset(load_card(name), progress)
                try:
                    dataset.decoded(domain, size, progress)
                    opened[name] = dataset
                    break
                except BadImages as error:
                    if last or not skip_bad():
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


@contextmanager
def prepared(store: Store) -> Iterator[None]:
    """Make a results folder for what is done in it; a request that is refused there leaves none behind."""
    made = [path for path in (store.root / "records", store.root, *store.root.parents) if not path.exists()]
    store.prepare()
    try:
        yield
    except UserError:
        for folder in made:
            # Not empty: somebody else has begun to use it.
            with suppress(OSError):
                folder.rmdir()
        raise


def ready(plan: RunPlan, cells: Sequence[Cell]) -> RunPlan:
    """Decode the images of cells, fetch the weights and start an executor.

    Returns the plan; where images were left out, with digests of the others.

    Raises:
        UserError: the executor, the device, a backbone or the images are out of reach.
    """
    executor_for(plan)  # Its workers load their libraries meanwhile.
    if decode_images(cells):
        plan = replace(plan)
    executor = executor_for(plan)
    # The report's libraries take as long to load as a worker's, which cells wait for: both load at once.
    import_in_background("bench.report.render.page")
    sizes = [cell.budget.batch_size for cell in cells]
    executor.prepare(
        list(dict.fromkeys(cell.backbone for cell in cells)),
        lambda text: click.echo(printable(text), err=True),
        TrialImages(image_size=cells[0].image_size, batch_size=min(sizes)) if sizes else None,
    )
    return plan


def run_cells(plan: RunPlan, cells: Sequence[Cell], score: RecordScore = test_percent) -> None:
    """Run some cells of a plan; each record is stored as soon as it is there, and its `score` shown.

    Raises:
        UserError: the executor, the device or a backbone is out of reach; nothing has run then.
        KeyboardInterrupt: with a line that says what is kept.
    """
    execute(ready(plan, cells), cells, score)


def outcomes(plan: RunPlan, cells: Sequence[Cell], score: RecordScore = test_percent) -> list[Record | None]:
    """Run what is missing of some cells of a plan; what came of each, None where it cannot be read.

    Of a cell that had to run it is an attempt that failed, if there is one, before a record that is stale. An
    attempt beside a record of today's code and data was of others.
    """
    todo, _ = plan.store.missing(cells, plan.digests)
    if todo:
        run_cells(plan, todo, score)
    ran = {cell.key for cell in todo}
    return [(plan.store.latest if cell.key in ran else plan.store.read)(cell.key) for cell in cells]


def present(plan: RunPlan, cells: Sequence[Cell]) -> pd.DataFrame:
    """Rows of cells after a run; records of other code or data than today's are of status `stale`.

    Such one is left where its cell has failed anew, or was not run again.
    """
    from bench.report.scores.frame import load_frame

    frame = load_frame(plan.store, cells, per_image=False)
    for key, others in plan.store.stale(cells, plan.digests).items():
        frame.loc[frame["key"] == key, ["status", "reason"]] = "stale", f"other {', '.join(others)}"
    return frame


def execute(
    plan: RunPlan, cells: Sequence[Cell], score: RecordScore = test_percent, ended: Ended = nothing
) -> None:
    """Run cells that are `ready`, cheap ones first; see `run_cells`. `ended` is called with each record."""
    executor, ordered = executor_for(plan), cheapest_first(cells)
    with watch(cells, score, TimeToGo(cells, _predicted(plan), executor.count), ended) as watcher:
        try:
            executor.run(ordered, plan.suite.name, plan.digests, plan.store, watcher, plan.execution.timeout)
            return
        except Interrupted as interrupted:
            signum = interrupted.signum
    kept = f"{watcher.done} of {watcher.total} cells recorded; the same command goes on from there"
    if signum == signal.SIGINT:
        raise KeyboardInterrupt(kept)
    click.echo(f"terminated: {kept}", err=True)
    raise SystemExit(128 + signum)


MOST_RECORDS = 1000
"""Records that costs are taken from."""


def _predicted(plan: RunPlan) -> Callable[[Cell], float | None]:
    """Predict what cells cost, artifacts that they share included, from recorded ones."""
    # What they share is known to who has the networks at hand; here it is part of what a cell costs.
    records = islice(recorded(plan), MOST_RECORDS)
    return CostModel.fit(records, lambda _: MethodTraits(has_source_stage=False)).predict


_open: dict[str, Executor] = {}
if hasattr(os, "register_at_fork"):
    # A child has its parent's pipes, and must not answer to its parent's workers.
    os.register_at_fork(after_in_child=_open.clear)


def executor_for(plan: RunPlan) -> Executor:
    """Executor of a plan, kept to the end of this process: loading libraries takes longer than many cells.

    An executor of other options, another folder or other `BENCH_` environment variables is closed.
    """
    variables = sorted((name, value) for name, value in os.environ.items() if name.startswith("BENCH_"))
    name, options = plan.execution.executor, plan.execution.executor_options(plan.suite)
    key = repr((name, options, os.getcwd(), variables))
    if key not in _open:
        close_executor()
        _open[key] = create(name, options)
        # Now, not before: what ends last at exit began first, and an executor needs its libraries to end.
        atexit.unregister(close_executor)
        atexit.register(close_executor)
    return _open[key]


def close_executor() -> None:
    """Close the executor that is open, if any."""
    while _open:
        _open.popitem()[1].close()
