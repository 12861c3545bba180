"""A share of a run, in a job of its own: `python -m bench.executors.slurm_job FOLDER NUMBER`.

The folder holds `work.json`, which says what is to be done; any number of shares work on it at once, by their
claims. Each tells what happens in `events-<number>.jsonl`. SIGTERM is heeded as in any run: cells in hand are
finished or saved, and the exit code is 143.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.executors.workers import Workers
from bench.processes.signals import Interrupted
from bench.records.record import Digests, Record
from bench.records.store import Store
from bench.spec.cell import Cell


class Told:
    """A watcher that writes what happens for whoever reads the file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def say(self, what: str, **more: Any) -> None:
        """One line, there at once."""
        self._file.write(json.dumps({"what": what, **more}) + "\n")
        self._file.flush()

    def started(self, cell: Cell) -> None:
        """A cell begins."""
        self.say("started", key=cell.key)

    def progress(self, cell: Cell, what: str, done: int, total: int) -> None:
        """Nothing: over a shared folder that would be noise."""

    def finished(self, record: Record) -> None:
        """A cell's record is stored."""
        self.say("finished", key=record.key)

    def elsewhere(self, record: Record) -> None:
        """Another process has stored a cell's record."""
        self.say("finished", key=record.key)

    def note(self, text: str) -> None:
        """Something that is not about one cell."""
        self.say("note", text=text)


def write_work(
    folder: Path,
    cells: Sequence[Cell],
    seen: Mapping[str, str | None],
    digests: Mapping[str, Digests],
    root: Path,
    **options: Any,
) -> None:
    """Say in a folder what is to be done.

    `options` are suite, device, share, keep_features, count, timeout, module and devices_per_cell.
    """
    work = {
        "root": str(root.absolute()),
        "cells": [cell.model_dump(mode="json") for cell in cells],
        "seen": {cell.key: seen[cell.key] for cell in cells},
        "digests": {method: found.model_dump() for method, found in digests.items()},
        **options,
    }
    write_atomically(folder / "work.json", json.dumps(work).encode())


def main(folder: Path, number: int) -> int:
    """Do a share in workers of its own; the exit code."""
    # By this, jobs hear in advance that their time is over; the process that hosts them makes it a SIGTERM.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    work = json.loads((folder / "work.json").read_text(encoding="utf-8"))
    workers = Workers(
        work["device"],
        work["count"],
        work["share"],
        work["module"],
        devices_per_cell=work["devices_per_cell"],
        cells_per_device=work["count"],
        keep_features=work["keep_features"],
    )
    try:
        return do_share(work, workers, Told(folder / f"events-{number}.jsonl"))
    finally:
        workers.close()


def do_share(work: Mapping[str, Any], workers: Workers, told: Told) -> int:
    """Do a share of what `work.json` says; the exit code."""
    cells = [Cell.model_validate(cell) for cell in work["cells"]]
    digests = {method: Digests(**found) for method, found in work["digests"].items()}
    try:
        workers.prepare(list(dict.fromkeys(cell.backbone for cell in cells)), told.note)
        workers.run(
            cells, work["suite"], digests, Store(work["root"]), told, work["timeout"], seen=work["seen"]
        )
    except Interrupted as stop:
        return 128 + stop.signum
    except UserError as error:
        told.say("error", text=str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
