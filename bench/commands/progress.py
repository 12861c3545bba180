"""Progress of a run: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.status import Status

from bench.core.text import printable
from bench.records.record import Record
from bench.spec.cell import Cell

LONG = 5.0
"""Seconds after which progress is printed as a line where no bar can be shown."""

RecordScore = Callable[[Record], str]
"""Score of a finished cell in words, as progress shows it; empty if there is none."""

Ended = Callable[[Record], str]
"""What is done when a cell has ended; returns what is to be said of it."""


def test_accuracy(record: Record) -> float | None:
    """Score on the target's test items at the headline rule's evaluation, in [0, 1]; None if none."""
    place = record.selected.get(record.request.cell.headline)
    return None if place is None else record.evaluations[place].score("target-test")


def percent(score: float | None) -> str:
    """Score in [0, 1] as progress shows it."""
    return "" if score is None else f"{100 * score:.1f} %"


def test_percent(record: Record) -> str:
    """Score on test items as progress shows it; where the cell's metric is undefined, it says so."""
    if record.done and test_accuracy(record) is None and record.evaluations:
        from bench.report.scores.words import metric_name  # slow to import

        return f"{metric_name(record.request.cell.metric)} undefined"
    return percent(test_accuracy(record))


def unknown(cell: Cell) -> float | None:
    """Predict nothing of a cell."""
    return None


class TimeToGo:
    """Estimate of the seconds until cells are done.

    What each cell is predicted to cost counts as often as finished cells took theirs. One of which nothing is
    predicted counts as the mean of finished cells like it: of its method and kind, of its method, or of any.
    """

    def __init__(
        self, cells: Sequence[Cell], predicted: Callable[[Cell], float | None] = unknown, workers: int = 1
    ) -> None:
        self._left = {cell.key: (predicted(cell), *_likes(cell)) for cell in cells}
        """What is predicted of cells that are not done, and what they are like, closest first."""
        self._workers = workers
        self._begun: dict[str, float] = {}
        self._took: dict[Like, list[float]] = defaultdict(lambda: [0.0, 0.0])
        """Seconds and number of the cells that are done, by what they are like."""
        self._predicted = self._paid = 0.0
        """Seconds that were predicted of cells that are done, and those that they took."""

    def begin(self, cell: Cell, now: float) -> None:
        """Note when a cell begins."""
        self._begun[cell.key] = now

    def end(self, cell: Cell, now: float, done: bool, kept: float = 0.0) -> float:
        """Note when a cell ends, `done` or in another way; returns its seconds, 0 where others ran it.

        Args:
            kept: seconds in which it made what cells after it find kept, which are no part of what is
                predicted: beside a head's tenth of a second they would say that all takes hours.
        """
        key = cell.key
        cost = self._left.pop(key, (None,))[0]
        begun = self._begun.pop(key, None)
        if begun is None:
            return 0.0
        if done:
            for like in _likes(cell):
                took = self._took[like]
                took[0] += now - begun
                took[1] += 1
            if cost is not None:
                self._predicted += cost
                self._paid += max(0.0, now - begun - kept)
        return now - begun

    def seconds(self, now: float) -> float | None:
        """Estimate the seconds to go; 0 where no cell is left, None where there is nothing to tell from."""
        pace = self._paid / self._predicted if self._predicted else 1.0
        means = {like: seconds / count for like, (seconds, count) in self._took.items()}
        left = []
        for key, (cost, *likes) in self._left.items():
            found = (means[like] for like in likes if like in means)
            estimate = next(found, None) if cost is None else cost * pace
            if estimate is None:
                return None
            begun = self._begun.get(key)
            left.append(estimate if begun is None else max(0.0, estimate - (now - begun)))
        return max(sum(left) / self._workers, *left) if left else 0.0


Like = tuple[object, ...]


def _likes(cell: Cell) -> tuple[Like, Like, Like]:
    """Cells of its method and kind, of its method, and all."""
    return (cell.method, cell.scenario.kind, cell.scenario.shots), (cell.method,), ()


class LineProgress:
    """Progress as a line for each finished cell, with the number of cells done and the time to go."""

    def __init__(
        self, cells: Sequence[Cell], console: Console, score: RecordScore, time: TimeToGo, ended: Ended
    ) -> None:
        self.console = console
        self.score = score
        self.ended = ended
        self.total = len(cells)
        self.done = 0
        self._time = time

    def started(self, cell: Cell) -> None:
        """Note the time at which a cell begins."""
        self._time.begin(cell, monotonic())

    def progress(self, cell: Cell, what: str, done: int, total: int) -> None:
        """Ignore progress within a cell: a line per step would be noise."""

    def finished(self, record: Record) -> None:
        """Print the outcome of a cell."""
        self.done += 1
        done, kept = record.outcome.status == "done", record.cost.kept_seconds
        seconds = self._time.end(record.request.cell, monotonic(), done, kept)
        self._print(record, f"{seconds:.1f} s")

    def elsewhere(self, record: Record) -> None:
        """Print the outcome of a cell that another process ran."""
        self.done += 1
        self._time.end(record.request.cell, monotonic(), done=False)
        self._print(record, "by another process")

    def note(self, text: str) -> None:
        """Print a line."""
        self.console.print(_plain(text), highlight=False, soft_wrap=True)

    def _print(self, record: Record, took: str) -> None:
        self.console.print(
            f"\\[{self.done}/{self.total}] {record.outcome.status} {_plain(record.request.cell.title)}"
            f"  {_plain(self._outcome(record))}  {took}" + self.eta(),
            highlight=False,
            soft_wrap=True,
        )
        if said := self.ended(record):
            self.note(said)

    def _outcome(self, record: Record) -> str:
        return self.score(record) or record.outcome.reason

    def eta(self) -> str:
        """Time until the end in words; `?` where there is nothing to tell from, empty at the end."""
        if self.done == self.total:
            return ""
        seconds = self._time.seconds(monotonic())
        return f"  ETA {'?' if seconds is None else duration(seconds)}"


class BarProgress(LineProgress):
    """Progress as the same lines, above an overall bar and a bar of the running cell."""

    def __init__(
        self, cells: Sequence[Cell], console: Console, score: RecordScore, time: TimeToGo, ended: Ended
    ) -> None:
        super().__init__(cells, console, score, time, ended)
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
        self.bars.update(self._all, completed=self.done, eta=self.eta().strip())


def nothing(record: Record) -> str:
    """Do nothing when a cell has ended."""
    return ""


@contextmanager
def watch(
    cells: Sequence[Cell], score: RecordScore, time: TimeToGo, ended: Ended = nothing
) -> Iterator[LineProgress]:
    """Watcher of a run that fits the error stream; `score` is what it prints of a finished cell."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield LineProgress(cells, console, score, time, ended)
        return
    bars = BarProgress(cells, console, score, time, ended)
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
            started_at[what] = monotonic()
        elif not console.is_terminal and what in started_at and monotonic() - started_at[what] > LONG:
            del started_at[what]
            console.print(f"{_plain(what)}: {done} of {total}", highlight=False)
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
