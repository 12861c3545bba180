"""Progress of a run: bars on a terminal, plain lines elsewhere."""

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
"""Seconds after which progress is printed as a line where no bar can be shown."""

RecordScore = Callable[[Record], float | None]
"""Score of a finished cell that progress shows, in [0, 1]; None if there is none."""


def test_accuracy(record: Record) -> float | None:
    """Accuracy on the target's test images at the headline rule's evaluation, in [0, 1]; None if not done."""
    place = record.selected.get(record.request.cell.headline)
    return None if place is None else record.evaluations[place].accuracy["target-test"]


class LineProgress:
    """Progress as a line for each finished cell, with the number of cells done and the time to go."""

    def __init__(self, cells: Sequence[Cell], console: Console, score: RecordScore, workers: int = 1) -> None:
        self.console = console
        self.score = score
        self.total = len(cells)
        self.done = 0
        self._workers = workers
        self._waiting = [cell.method for cell in cells]
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._since: dict[str, float] = {}

    def started(self, cell: Cell) -> None:
        """Note the time at which a cell begins."""
        self._since[cell.key] = time.monotonic()

    def progress(self, cell: Cell, what: str, done: int, total: int) -> None:
        """Ignore progress within a cell: a line per step would be noise."""

    def finished(self, record: Record) -> None:
        """Print the outcome of a cell."""
        method = record.request.cell.method
        self.done += 1
        self._waiting.remove(method)
        seconds = time.monotonic() - self._since.pop(record.key, time.monotonic())
        if record.outcome.status == "done":
            self._seconds[method].append(seconds)
        self._print(record, f"{seconds:.1f} s")

    def elsewhere(self, record: Record) -> None:
        """Print the outcome of a cell that another process ran."""
        self.done += 1
        self._waiting.remove(record.request.cell.method)
        self._print(record, "by another process")

    def note(self, text: str) -> None:
        """Print a line."""
        self.console.print(_plain(text), highlight=False, soft_wrap=True)

    def _print(self, record: Record, took: str) -> None:
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
        """Time until the end, estimated from finished cells of the same methods; `?` if there are none."""
        means = {method: sum(times) / len(times) for method, times in self._seconds.items()}
        if not means:
            return "?"
        typical = sum(means.values()) / len(means)
        return duration(sum(means.get(method, typical) for method in self._waiting) / self._workers)


class BarProgress(LineProgress):
    """Progress as the same lines, above an overall bar and a bar of the running cell."""

    def __init__(self, cells: Sequence[Cell], console: Console, score: RecordScore, workers: int = 1) -> None:
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
        """Add a bar for a cell that begins."""
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
def watch(cells: Sequence[Cell], score: RecordScore, workers: int = 1) -> Iterator[LineProgress]:
    """Watcher of a run that fits the error stream; `score` is what it prints of a finished cell."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield LineProgress(cells, console, score, workers)
        return
    bars = BarProgress(cells, console, score, workers)
    with bars.bars:
        yield bars


def status(what: str) -> Status:
    """Context manager that shows on a terminal what is being done."""
    return Console(stderr=True).status(what)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Progress callback for long work before a run: a bar each on a terminal, a line each elsewhere."""
    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    bar_of: dict[str, TaskID] = {}
    started_at: dict[str, float] = {}

    def progress(what: str, done: int, total: int) -> None:
        if what not in bar_of:
            bar_of[what] = bars.add_task(_plain(what), total=total)
            started_at[what] = time.monotonic()
        elif not console.is_terminal and what in started_at and time.monotonic() - started_at[what] > LONG:
            del started_at[what]
            console.print(f"{_plain(what)}: {done} of {total} images", highlight=False)
        bars.update(bar_of[what], completed=done, total=total)

    if not console.is_terminal:
        yield progress
        return
    with bars:
        yield progress


def _plain(text: str) -> str:
    """Escape markup and control characters."""
    return escape(printable(text))


def duration(seconds: float) -> str:
    """Format seconds as `40 s`, `3 min` or `2 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
