"""SIGKILL at random moments, of workers and of the process that started them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from bench.records import maintenance
from bench.records.record import Predictions, Record
from bench.records.store import Store
from tests.quick import age, expected, quick_cell
from tests.support.checkout import ROOT

WORKING = 0.8
"""Share of kills that come while work is being done; the others come when they come, as while all starts."""

Answer = Callable[[int], tuple[Record, Predictions]]


@dataclass
class Found:
    """What a storm of kills left behind; all but the first three are to be 0."""

    kills: int = 0
    records: int = 0
    acknowledged: int = 0
    lost: int = 0
    duplicated: int = 0
    corrupt: int = 0
    differing: int = 0
    stray: int = 0
    """Files that are there after `gc` and belong to no record."""

    @property
    def harm(self) -> int:
        """All that should not be."""
        return self.lost + self.duplicated + self.corrupt + self.differing + self.stray


def quick_storm(folder: Path, kills: int, seed: int = 0, cells: int = 60) -> Found:
    """Kills among cells that take no time, in one results folder after the other."""
    found, dice = Found(), random.Random(seed)
    arguments = ["tests.quick", "DIR", str(cells), "0.05", "3"]
    while found.kills < kills:
        root = folder / f"round-{found.kills}"
        storm(root, arguments, kills - found.kills, dice, found, 0.5)
        examine(root, cells, lambda seed: expected(quick_cell(seed, seconds=0.05)), found)
    return found


def real_storm(
    folder: Path, kills: int, wanted: Sequence[tuple[Record, Predictions]], seed: int = 0
) -> Found:
    """Kills within training, of cells that keep checkpoints."""
    found, dice = Found(), random.Random(seed)
    storm(folder / "real", ["tests.torture.often", "DIR"], kills, dice, found, 6.0)
    examine(folder / "real", len(wanted), lambda place: wanted[place], found)
    return found


def storm(
    root: Path, arguments: list[str], kills: int, dice: random.Random, found: Found, longest: float
) -> None:
    """Run to the end what is killed on its way up to so many times, at most `longest` seconds apart."""
    root.mkdir(parents=True)
    command = [sys.executable, "-m", *(str(root) if a == "DIR" else a for a in arguments)]
    left = kills
    while True:
        with open(root / "said.txt", "ab") as said, open(root / "errors.txt", "ab") as errors:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=said,
                stderr=errors,
            )
            while process.poll() is None and left:
                if dice.random() < WORKING:
                    _wait_for_news(process, root / "said.txt")
                time.sleep(dice.uniform(0, longest))
                victims = _family(process.pid)
                if not victims:
                    break
                victim = dice.choice(victims)
                with_parent = victim.pid == process.pid
                try:
                    victim.kill()
                except psutil.NoSuchProcess:
                    continue
                left -= 1
                found.kills += 1
                if with_parent:
                    break
            process.wait()
        if process.returncode == 0:
            return
        # Killed; or a worker was killed twice while it started, which is said in one line.
        assert process.returncode in (-9, 2), (root / "errors.txt").read_text()[-2000:]


def _wait_for_news(process: subprocess.Popen[bytes], said: Path) -> None:
    """Until a record more is acknowledged, or all is over."""
    size = said.stat().st_size
    while process.poll() is None and said.stat().st_size == size:
        time.sleep(0.01)


def _family(pid: int) -> list[psutil.Process]:
    """A process and its children; itself as often as it has children, so that it is hit half of the time."""
    try:
        parent = psutil.Process(pid)
        if parent.status() == psutil.STATUS_ZOMBIE:
            return []
        children = parent.children()
        return children + [parent] * max(1, len(children))
    except psutil.NoSuchProcess:
        return []


def examine(root: Path, cells: int, answer: Answer, found: Found) -> None:
    """Compare what is there with what was acknowledged, and with the undisturbed answers."""
    store = Store(root)
    said = [line.split() for line in (root / "said.txt").read_text().splitlines()]
    keys = [words[1] for words in said if len(words) == 3 and words[0] == "stored"]
    found.acknowledged += len(keys)
    found.lost += sum(store.read(key) is None for key in set(keys))
    faults = maintenance.check(store)[1]
    found.corrupt += len(faults)
    records = list(store.records())
    found.records += len(records)
    found.duplicated += len(records) - len({record.request.cell.key for record in records})
    for place in range(cells):
        wanted, arrays = answer(place)
        record = store.read(wanted.key)
        found.differing += record is None or not same(record, store.predictions(record), wanted, arrays)
    age(root)
    maintenance.collect(store)
    known = {store.path(record.key) for record in records}
    known |= {store.predictions_path(record) for record in records}
    found.stray += len({path for path in (root / "records").rglob("*") if path.is_file()} - known)


def same(record: Record, found: Predictions, wanted: Record, arrays: Predictions) -> bool:
    """Whether an answer is the other one, but for when it was given and how long it took."""
    parts = ("outcome", "evaluations", "selected", "details", "discrepancy_before", "hyperparameters")
    return (
        all(getattr(record, part) == getattr(wanted, part) for part in parts)
        and found.keys() == arrays.keys()
        and all(np.array_equal(found[name], arrays[name]) for name in arrays)
    )
