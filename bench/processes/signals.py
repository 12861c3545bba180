"""Interruptions: signals to a process that waits for workers, and the stop flag that long work polls."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

STOPPING = "stopping: cells in hand are finished or saved; once more stops at once"
"""Note to a run's watcher at the first interruption."""

_requested = False


class Interrupted(Exception):
    """A run ended on SIGINT, SIGTERM or SIGHUP."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum


class Stopped(BaseException):
    """Work ended on a stop request with its state saved. Not an error of the cell's."""


def request_stop() -> None:
    """Ask long work in this process to stop at the next moment at which nothing is lost."""
    global _requested  # noqa: PLW0603
    _requested = True


def stop_requested() -> bool:
    """Return True once this process was asked to stop."""
    return _requested


@contextlib.contextmanager
def interruptions(wake: Callable[[], None]) -> Iterator[list[int]]:
    """Collect SIGINTs, SIGTERMs and SIGHUPs, if this is the thread that gets them; `wake` is called at each.

    A SIGHUP that is ignored, as under `nohup`, stays so.
    """
    received: list[int] = []

    def handle(signum: int, frame: object) -> None:
        received.append(signum)
        wake()

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    wanted = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        wanted.append(signal.SIGHUP)
    before = {s: signal.signal(s, handle) for s in wanted}
    try:
        yield received
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
