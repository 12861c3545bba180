"""What a run shows while it goes on: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.status import Status

from bench.core.text import printable
from bench.records.record import Record
from bench.spec.cell import Cell

LONG = 5.0
"""Seconds after which work is worth a line where no bar can be shown."""

Score = Callable[[Record], float | None]


def test_accuracy(record: Record) -> float | None:
    """Accuracy on the target's test images at the headline rule's look, in [0, 1]; None if not done."""
    place = record.selected.get(record.request.cell.headline)
    return None if place is None else record.evaluations[place].accuracy["target-test"]


class Lines:
    """Says each finished cell on a line, with how far the run is and when it will be done."""

    def __init__(self, cells: Sequence[Cell], console: Console, score: Score, workers: int = 1) -> None:
        self.console = console
        self.score = score
        self.total = len(cells)
        self.done = 0
        self._workers = workers
        self._waiting = [cell.method for cell in cells]
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._since: dict[str, float] = {}

    def started(self, cell: Cell) -> None:
        """A cell begins."""
        self._since[cell.key] = time.monotonic()

    def progress(self, cell: Cell, what: str, done: int, total: int) -> None:
        """Nothing: a line per step would be noise."""

    def finished(self, record: Record) -> None:
        """Print how a cell ended."""
        method = record.request.cell.method
        self.done += 1
        self._waiting.remove(method)
        seconds = time.monotonic() - self._since.pop(record.key, time.monotonic())
        if record.outcome.status == "done":
            self._seconds[method].append(seconds)
        self._say(record, f"{seconds:.1f} s")

    def elsewhere(self, record: Record) -> None:
        """Print how a cell ended that another process had."""
        self.done += 1
        self._waiting.remove(record.request.cell.method)
        self._say(record, "by another process")

    def note(self, text: str) -> None:
        """Print a line."""
        self.console.print(_plain(text), highlight=False, soft_wrap=True)

    def _say(self, record: Record, took: str) -> None:
        self.console.print(
            f"\\[{self.done}/{self.total}] {record.outcome.status} {_plain(record.request.cell.title)}"
            f"  {_plain(self._outcome(record))}  {took}" + (f"  ETA {self.eta}" if self._waiting else ""),
            highlight=False,
            soft_wrap=True,
        )

    def _outcome(self, record: Record) -> str:
        score = self.score(record)
        return record.outcome.reason if score is None else f"{100 * score:.1f} %"

    @property
    def eta(self) -> str:
        """Time that the waiting cells will take, from what cells of their methods took so far."""
        known = {method: sum(times) / len(times) for method, times in self._seconds.items()}
        if not known:
            return "?"
        typical = sum(known.values()) / len(known)
        return duration(sum(known.get(method, typical) for method in self._waiting) / self._workers)


class Bars(Lines):
    """The same lines, above an overall bar and a bar of the running cell."""

    def __init__(self, cells: Sequence[Cell], console: Console, score: Score, workers: int = 1) -> None:
        super().__init__(cells, console, score, workers)
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[eta]}"),
            console=console,
            transient=True,
        )
        self._all: TaskID = self.bars.add_task("all cells", total=self.total, eta="")
        self._cells: dict[str, TaskID] = {}

    def started(self, cell: Cell) -> None:
        """Show the cell that begins."""
        super().started(cell)
        if cell.key not in self._cells:  # it may begin a second time
            self._cells[cell.key] = self.bars.add_task(_plain(cell.title), total=1, eta="")

    def progress(self, cell: Cell, what: str, done: int, total: int) -> None:
        """Move the running cell's bar."""
        self.bars.update(self._cells[cell.key], completed=done, total=total, eta=what)

    def finished(self, record: Record) -> None:
        """Print the line, move the overall bar."""
        super().finished(record)
        if (task := self._cells.pop(record.key, None)) is not None:
            self.bars.remove_task(task)
        self._move()

    def elsewhere(self, record: Record) -> None:
        """Print the line, move the overall bar."""
        super().elsewhere(record)
        self._move()

    def _move(self) -> None:
        self.bars.update(self._all, completed=self.done, eta=f"ETA {self.eta}" if self._waiting else "")


@contextmanager
def watch(cells: Sequence[Cell], score: Score, workers: int = 1) -> Iterator[Lines]:
    """The watcher that fits where the output goes; `score` is what it says of a finished cell."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(cells, console, score, workers)
        return
    bars = Bars(cells, console, score, workers)
    with bars.bars:
        yield bars


def saying(what: str) -> Status:
    """Says on a terminal what is being done, as long as it takes."""
    return Console(stderr=True).status(what)


@contextmanager
def showing() -> Iterator[Callable[[str, int, int], None]]:
    """A progress callback for long work before a run: a bar each on a terminal, a line each elsewhere."""
    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    tasks: dict[str, TaskID] = {}
    begun: dict[str, float] = {}

    def progress(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(_plain(what), total=total)
            begun[what] = time.monotonic()
        elif not console.is_terminal and what in begun and time.monotonic() - begun[what] > LONG:
            del begun[what]
            console.print(f"{_plain(what)}: {done} of {total} images", highlight=False)
        bars.update(tasks[what], completed=done, total=total)

    if not console.is_terminal:
        yield progress
        return
    with bars:
        yield progress


def _plain(text: str) -> str:
    """Neither markup nor control characters."""
    return escape(printable(text))


def duration(seconds: float) -> str:
    """`40 s`, `3 min`, `2 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
