"""Array task of a Slurm job: `python -m bench.executors.slurm_job FOLDER NUMBER`.

The folder holds `work.json` (`WorkItem`), the cells that all tasks of the array work on at once, by their
leases. Each task reports in `events-<number>.jsonl`. SIGTERM takes effect as in any run: cells in hand are
finished or saved, and the exit code is 143.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.executors.messages import JobEvent, WorkItem
from bench.executors.worker_pool import WorkerPool
from bench.processes.signals import Interrupted
from bench.records.record import Record
from bench.records.store import Store
from bench.spec.cell import Cell


class EventLog:
    """Watcher that appends events to a file, which the driver reads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def write(self, event: JobEvent) -> None:
        """Append a line, at once."""
        self._file.write(event.model_dump_json(exclude_defaults=True) + "\n")
        self._file.flush()

    def started(self, cell: Cell) -> None:
        """A cell begins."""
        self.write(JobEvent(kind="started", key=cell.key))

    def progress(self, cell: Cell, what: str, done: int, total: int) -> None:
        """No event: over a shared folder that would be noise."""

    def finished(self, record: Record) -> None:
        """A cell's record is stored."""
        self.write(JobEvent(kind="finished", key=record.key))

    def elsewhere(self, record: Record) -> None:
        """Another process has stored a cell's record."""
        self.finished(record)

    def note(self, text: str) -> None:
        """Text that is not about one cell."""
        self.write(JobEvent(kind="note", text=text))


def write_work(folder: Path, work: WorkItem) -> None:
    """Write `work.json`."""
    write_atomically(folder / "work.json", work.model_dump_json().encode())


def read_work(folder: Path) -> WorkItem:
    """Read `work.json`.

    Raises:
        UserError: it has another layout, as that of another version of this program.
    """
    path = folder / "work.json"
    try:
        return WorkItem.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(
            f"'{path}' has the layout of another version ({place}: {first['msg']}): start the run again"
        ) from None


def main(folder: Path, number: int) -> int:
    """Run an array task in workers of its own; the exit code."""
    # By this, jobs hear in advance that their time is over; the process that hosts them makes it a SIGTERM.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    events = EventLog(folder / f"events-{number}.jsonl")
    try:
        work = read_work(folder)
    except UserError as error:
        events.write(JobEvent(kind="error", text=str(error)))
        print(f"error: {error}", file=sys.stderr)
        return 2
    workers = WorkerPool(work.options)
    try:
        return run_work(work, workers, events)
    finally:
        workers.close()


def run_work(work: WorkItem, workers: WorkerPool, events: EventLog) -> int:
    """Run cells of a work item until none is left; the exit code."""
    try:
        workers.prepare(list(dict.fromkeys(cell.backbone for cell in work.cells)), events.note)
        store = Store(work.root)
        workers.run(work.cells, work.suite, work.digests, store, events, work.timeout, seen=work.seen)
    except Interrupted as stop:
        return 128 + stop.signum
    except UserError as error:
        events.write(JobEvent(kind="error", text=str(error)))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
