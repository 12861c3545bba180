"""`python -m tests.speed.race [NAME ...]`: run the races, print their table. All else should rest."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from bench.data.catalog import load_card
from bench.engine.cell.environment import default_threads
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import load_suite
from tests.speed.race import dann, logistic, maml, probe
from tests.speed.race.track import Row, image_folder
from tests.support.cells import steps_of


def _probe(work: Path) -> Iterator[Row]:
    yield probe.race(image_folder(work / "images"), work)


def _dann(work: Path) -> Iterator[Row]:
    yield from dann.race(image_folder(work / "images"), work)


def _logistic(work: Path) -> Iterator[Row]:
    """On the frozen features of a whole domain."""
    suite = load_suite("emoji-home").model_copy(update={"methods": ["linear-probe"]})
    cells = plan(suite, load_card(suite.dataset))
    run = steps_of(next(cell for cell in cells if cell.scenario.source == "google"), work / "artifacts")
    run.open()
    source = run.partitions.of(run.stages[0].labelled)
    x = source.inputs.take(source.subset.rows)
    yield logistic.race(x, torch.from_numpy(source.subset.labels))


def _maml(work: Path) -> Iterator[Row]:
    for shots in (1, 5):
        yield maml.race(shots)


RACES: dict[str, Callable[[Path], Iterator[Row]]] = {
    "logistic": _logistic,
    "probe": _probe,
    "dann": _dann,
    "maml": _maml,
}


def main(names: list[str]) -> None:
    """Run the named races, or all."""
    torch.set_num_threads(default_threads())
    rows: list[Row] = []
    for name in names or RACES:
        with tempfile.TemporaryDirectory() as work:
            for row in RACES[name](Path(work)):
                rows.append(row)
                print(json.dumps({**asdict(row), "ratio": row.ratio}), flush=True)
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("race", "ours, s", "peer, s", "ratio", "peer", "check"):
        table.add_column(column)
    for row in rows:
        times = f"{row.ours:.2f}", f"{row.theirs:.2f}", f"{row.ratio:.1f}×"
        table.add_row(row.race, *times, row.peer, row.check)
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
