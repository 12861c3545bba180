"""Two commands on one results folder at once, over and over, until one and then the other is killed."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.commands.results import maintenance as command
from bench.core.errors import UserError
from bench.executors.queue import CellQueue
from bench.records import baselines, maintenance
from bench.records.leases import Leases
from bench.records.record import Outcome, Predictions, Record
from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.spec.cell import Cell
from tests.quick import TODAY, RecordingWatcher, age, expected, quick_cell

CELLS = [quick_cell(seed) for seed in range(12)]
DONE, DAMAGED, FAILED, CRASHED = CELLS[:5], CELLS[5], CELLS[6], CELLS[7]
"""Cells of the folder at the start: done, with a version each; a damaged record; a failed one; predictions
without a record. The others are absent."""
ROOT, OTHER = Path("results/here"), Path("results/there")


def answer(cell: Cell) -> tuple[Record, Predictions]:
    """Another answer each time, whose record and predictions know that they belong together."""
    record, predictions = expected(cell)
    number = time.monotonic_ns() % 2**31
    predictions["target-test/groups"] = np.arange(5, dtype=np.int32)
    predictions["target-test/items"] = np.full(5, number, dtype=np.int32)
    return record.model_copy(update={"created": str(number)}), predictions


def prepare() -> None:
    """Make the folder of the start, below the working directory, and one to be merged into it."""
    store, other = Store(ROOT), Store(OTHER)
    for each, cells in ((store, CELLS[:8]), (store, DONE), (other, CELLS)):
        each.prepare()
        for cell in cells:
            each.write(*answer(cell))
    path = store.path(DAMAGED.key)
    path.write_bytes(path.read_bytes()[:-9])
    for cell in (FAILED, CRASHED):
        store.path(cell.key).unlink()
    failed = Outcome(status="failed", reason="why")
    store.write(expected(FAILED)[0].model_copy(update={"outcome": failed}), {})
    baselines.save(other, "both")
    age(ROOT)


def run(cells: list[Cell]) -> None:
    """Do cells as a run does, each acknowledged once its record is stored."""
    store, leases = Store(ROOT), Leases(ROOT)
    queue = CellQueue(cells, "pairs", {"quick": TODAY}, store, RecordingWatcher(), leases)
    while queue.waiting:
        if (queued := queue.take()) is None:
            time.sleep(0.01)
            continue
        queue.assign(worker := object(), queued)  # type: ignore[arg-type]
        store.write(*answer(queued.cell), queued.seen)
        if (record := queue.complete(worker)) and record.done:  # type: ignore[arg-type]
            acknowledge(record.key)


def run_missing() -> None:
    """`bench run`."""
    run(Store(ROOT).missing(CELLS, {"quick": TODAY}, retry_failed=True)[0])


def merge() -> None:
    """`bench results merge`."""
    if command.merge(str(ROOT), (str(OTHER),)) == 0:
        for cell in CELLS:
            acknowledge(cell.key)


def restore() -> None:
    """`bench results restore`."""
    versions = Store(ROOT).versions
    key = random.choice(versions.keys())
    if numbers := versions.numbers(key):
        command.restore(str(ROOT), key, random.choice(numbers))


def save() -> None:
    """`bench baseline save`."""
    baselines.save(Store(ROOT), "both")


def report() -> None:
    """`bench report`, as far as it reads."""
    frame = load_frame(Store(ROOT), per_image=False)
    torn = frame[(frame["status"] == "unreadable") & (frame["key"] != DAMAGED.key)]
    assert torn.empty, torn["reason"].tolist()


VERBS: dict[str, Callable[[], object]] = {
    "run": run_missing,
    "run --fresh": lambda: run(CELLS),
    "merge": merge,
    "verify": lambda: command.verify(str(ROOT)),
    "gc": lambda: command.gc(str(ROOT), versions=False),
    "restore": restore,
    "baseline save": save,
    "report": report,
}
PAIRS = list(itertools.combinations_with_replacement(VERBS, 2))


def acknowledge(key: str) -> None:
    """Note that a cell has a record, so that somebody may count on it."""
    with open("acknowledged.txt", "a", encoding="utf-8") as file:
        file.write(f"{key}\n")


def _forever(verb: str, seed: int) -> None:
    """Carry out a verb over and over; what would be a traceback goes into a file."""
    random.seed(seed)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout = sys.stderr = nowhere
        while True:
            try:
                # Refused, for another works on the folder or on a cell.
                with contextlib.suppress(UserError):
                    VERBS[verb]()
            except BaseException:
                with open("errors.txt", "a", encoding="utf-8") as file:
                    file.write(f"{verb}: {traceback.format_exc()}")
                raise


def together(folder: Path, pair: tuple[str, str], seed: int, longest: float = 0.3) -> None:
    """Carry out two verbs at once in a folder, kill both one after the other, and look at what is left."""
    here = Path.cwd()
    folder.mkdir(parents=True)
    os.chdir(folder)
    try:
        prepare()
        dice = random.Random(seed)
        fork = multiprocessing.get_context("fork")
        both = [fork.Process(target=_forever, args=(verb, dice.random()), daemon=True) for verb in pair]
        for process in both:
            process.start()
        for process in dice.sample(both, 2):
            time.sleep(dice.uniform(0, longest))
            process.kill()
            process.join()
        examine()
    finally:
        os.chdir(here)


def examine() -> None:
    """Compare what is there with what was acknowledged; then the same commands complete."""
    errors = Path("errors.txt")
    assert not errors.exists(), errors.read_text(encoding="utf-8")
    whole(tolerated={DAMAGED.key})
    acknowledged = Path("acknowledged.txt")
    keys = set(acknowledged.read_text(encoding="utf-8").split()) if acknowledged.exists() else set()
    readable = {record.key for record in Store(ROOT).records() if record.done}
    assert keys | {cell.key for cell in DONE} <= readable, "an acknowledged record is lost"
    both = Store(baselines.BASELINES / "both")
    assert readable & {record.key for record in both.records()} >= {cell.key for cell in DONE}
    assert not both.unreadable
    command.verify(str(ROOT))
    run_missing()
    whole(tolerated=set())
    assert {record.key for record in Store(ROOT).records() if record.done} == {cell.key for cell in CELLS}
    save()
    age(ROOT)
    command.gc(str(ROOT), versions=False)
    names = {path.name for path in ROOT.rglob("*") if path.is_file()}
    assert not [name for name in names if name.startswith(".tmp-")]
    files = [path for path in ROOT.glob("records/??/*") if path.is_file()]
    assert len(files) == 2 * len(CELLS)
    shutil.rmtree("results")


def whole(tolerated: set[str]) -> None:
    """Every record is whole, and its predictions are those that were stored with it."""
    store = Store(ROOT)
    faults = [fault for fault in maintenance.check(store)[1] if fault.path.stem not in tolerated]
    assert not faults, faults
    for record in store.records():
        if record.done and record.created != "now":
            assert store.predictions(record)["target-test/items"][0] == int(record.created)
