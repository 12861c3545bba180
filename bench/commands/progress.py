"""What a run shows while it goes on: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.record import Record
from bench.suite import Cell


class Lines:
    """Says each finished cell on a line, with how far the run is and when it will be done."""

    def __init__(self, cells: Sequence[Cell], console: Console) -> None:
        self.console = console
        self.total = len(cells)
        self.done = 0
        self._waiting = [cell.method for cell in cells]
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._since = time.monotonic()

    def started(self, cell: Cell) -> None:
        """A cell begins."""
        self._since = time.monotonic()

    def progress(self, cell: Cell, what: str, done: int, total: int) -> None:
        """Nothing: a line per step would be noise."""

    def finished(self, record: Record) -> None:
        """Print how a cell ended."""
        method = record.asked.cell.method
        self.done += 1
        self._waiting.remove(method)
        seconds = time.monotonic() - self._since
        if record.happened.status == "done":
            self._seconds[method].append(seconds)
        self.console.print(
            f"\\[{self.done}/{self.total}] {record.happened.status} {escape(record.asked.cell.title)}"
            f"  {escape(_outcome(record))}  {seconds:.1f} s" + (f"  ETA {self.eta}" if self._waiting else ""),
            highlight=False,
            soft_wrap=True,
        )

    @property
    def eta(self) -> str:
        """Time that the waiting cells will take, from what cells of their methods took so far."""
        known = {method: sum(times) / len(times) for method, times in self._seconds.items()}
        if not known:
            return "?"
        typical = sum(known.values()) / len(known)
        return _duration(sum(known.get(method, typical) for method in self._waiting))


class Bars(Lines):
    """The same lines, above an overall bar and a bar of the running cell."""

    def __init__(self, cells: Sequence[Cell], console: Console) -> None:
        super().__init__(cells, console)
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
        self._cell: TaskID = self.bars.add_task("starting", total=None, eta="")

    def started(self, cell: Cell) -> None:
        """Show the cell that begins."""
        super().started(cell)
        self.bars.reset(self._cell, description=escape(cell.title), total=1, eta="")

    def progress(self, cell: Cell, what: str, done: int, total: int) -> None:
        """Move the running cell's bar."""
        self.bars.update(self._cell, completed=done, total=total, eta=what)

    def finished(self, record: Record) -> None:
        """Print the line, move the overall bar."""
        super().finished(record)
        self.bars.update(self._all, completed=self.done, eta=f"ETA {self.eta}" if self._waiting else "")


@contextmanager
def watch(cells: Sequence[Cell]) -> Iterator[Lines]:
    """The watcher that fits where the output goes."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(cells, console)
        return
    bars = Bars(cells, console)
    with bars.bars:
        yield bars


def _outcome(record: Record) -> str:
    if record.happened.status != "done":
        return record.happened.reason
    return f"{100 * record.looks[record.selected['last']].target_test_accuracy:.1f} %"


def _duration(seconds: float) -> str:
    """`40 s`, `3 min`, `2 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
