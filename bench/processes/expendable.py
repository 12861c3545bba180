"""Work on many items in processes that an item may crash or stall: it is named, and the others are done.

A process announces each item before it touches it. Where it dies or does not go on, that item is tried once
more by itself, since the cause may have been another's; then it is lost. An `ItemServer` does the work.
"""

from __future__ import annotations

import contextlib
import queue
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from bench.core.errors import UserError
from bench.processes.local import FROM_OUTSIDE, LocalWorker
from bench.processes.pool import processors
from bench.processes.protocol import Answers, Exited, Failure, Message, Note, Text, WorkerHandle
from bench.processes.server import Server

SECONDS = 60.0
"""Seconds that an item may take."""
START_SECONDS = 300.0
"""Seconds until a process announces the first item of a piece: libraries are loaded, a container is read."""
POLL = 0.5
"""Seconds between two checks of time limits."""


class Begun(Message):
    """Announcement of the item that a process works on from now on."""

    kind: Literal["begun"] = "begun"
    item: int


class Result(Message):
    """Result of an item."""

    kind: Literal["result"] = "result"
    item: int
    text: Text


class Lost(Message):
    """Item that ended its process, or took too long, twice."""

    item: int
    reason: str
    lasting: bool
    """Whether the item is likely to be the reason, and not how busy the machine was."""


ANSWER = TypeAdapter[Begun | Result | Note | Failure | Exited](
    Annotated[Begun | Result | Note | Failure | Exited, Field(discriminator="kind")]
)


class ItemServer(Server):
    """Process that works on the items of a request, one after the other."""

    @abstractmethod
    def results(self, request: str) -> Iterator[tuple[int, Callable[[], str]]]:
        """Items of a request, each with the work that is its result."""

    def handle(self, request: str) -> None:
        """Do a request."""
        for item, work in self.results(request):
            self.send(Begun(item=item))
            self.send(Result(item=item, text=work()))


@dataclass
class _Piece:
    """Items that a process works on, in its order; `current` is the one that it has announced."""

    left: list[int]
    attempts: int = 0
    """Processes that ended with it before they announced an item."""
    current: int | None = None
    since: float = field(default_factory=time.monotonic)


class _Pool:
    """Processes at work on pieces of one job."""

    def __init__(
        self, module: str, pieces: Iterable[Sequence[int]], request: Callable[[Sequence[int]], Message]
    ) -> None:
        self._module, self._request = module, request
        self._waiting = deque(_Piece([*piece]) for piece in pieces)
        self._busy: dict[WorkerHandle, _Piece] = {}
        self._answers: Answers = queue.SimpleQueue()
        self._suspects: set[int] = set()
        self._checked = time.monotonic()

    def outcomes(self) -> Iterator[Result | Lost]:
        """Outcomes of all items, in the order in which they are there."""
        try:
            for _ in range(min(processors(), len(self._waiting))):
                self._next(LocalWorker(self._answers, self._module))
            while self._busy:
                with contextlib.suppress(queue.Empty):
                    if item := self._answers.get(timeout=POLL):
                        yield from self._handle(item[0], ANSWER.validate_json(item[1]))
                if time.monotonic() - self._checked > POLL:
                    yield from self._check_time()
        finally:
            for worker in self._busy:
                worker.close()

    def _next(self, worker: WorkerHandle) -> None:
        """Give a process the next piece, or release it."""
        if not self._waiting:
            worker.close()
            return
        piece = self._busy[worker] = self._waiting.popleft()
        piece.current, piece.since = None, time.monotonic()
        worker.send(self._request(piece.left))

    def _handle(
        self, worker: WorkerHandle, answer: Begun | Result | Note | Failure | Exited
    ) -> Iterator[Result | Lost]:
        piece = self._busy.get(worker)
        match answer:
            case Failure(message=message):
                raise UserError(message)
            case Begun(item=item) if piece:
                piece.current, piece.since, piece.attempts = item, time.monotonic(), 0
            case Result(item=item) if piece:
                piece.left.remove(item)
                piece.current, piece.since = None, time.monotonic()
                yield answer
                if not piece.left:
                    del self._busy[worker]
                    self._next(worker)
            case Exited() if piece:
                reason = worker.exit_reason()
                yield from self._end(worker, reason, lasting=not reason.endswith(FROM_OUTSIDE))

    def _check_time(self) -> Iterator[Lost]:
        self._checked = time.monotonic()
        for worker, piece in [*self._busy.items()]:
            limit = START_SECONDS if piece.current is None else SECONDS
            if time.monotonic() - piece.since > limit:
                yield from self._end(worker, f"it took longer than {limit:g} s", lasting=False)

    def _end(self, worker: WorkerHandle, reason: str, lasting: bool) -> Iterator[Lost]:
        """End a process; what it had not done is done by another one, but for an item that is lost.

        Raises:
            UserError: no process gets as far as an item.
        """
        piece = self._busy.pop(worker)
        worker.kill()
        log = worker.log_tail().splitlines()
        worker.close()
        item, left = piece.current, piece.left
        if item is None:
            if piece.attempts:
                raise UserError(f"a worker process did not begin its work: {log[-1] if log else reason}")
            self._waiting.appendleft(_Piece(left, attempts=1))
        else:
            rest = [other for other in left if other != item]
            if rest:
                self._waiting.appendleft(_Piece(rest))
            if item in self._suspects:
                yield Lost(item=item, reason=reason, lasting=lasting)
            else:
                self._suspects.add(item)
                self._waiting.appendleft(_Piece([item]))
        if self._waiting:
            self._next(LocalWorker(self._answers, self._module))


def in_expendable_processes(
    module: str, pieces: Iterable[Sequence[int]], request: Callable[[Sequence[int]], Message]
) -> Iterator[Result | Lost]:
    """Work on the items of pieces in processes that run a module; outcomes come in no order.

    Args:
        module: serves an `ItemServer`.
        pieces: items that a process works on after each other.
        request: request to work on some items.

    Raises:
        UserError: a process reports one, or none gets as far as an item.
    """
    return _Pool(module, pieces, request).outcomes()
