"""Interruptions, as whoever waits for cells hears of them."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

STOPPING = "stopping: cells in hand are finished or saved; once more stops at once"
"""What whoever watches is told at the first."""


class Interrupted(Exception):
    """The run was asked to stop, and has."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum


@contextlib.contextmanager
def interruptions(wake: Callable[[], None]) -> Iterator[list[int]]:
    """The SIGINTs and SIGTERMs so far, where this is the thread that gets them; `wake` is called at each."""
    heard: list[int] = []

    def hear(signum: int, frame: object) -> None:
        heard.append(signum)
        wake()

    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    before = {s: signal.signal(s, hear) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heard
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
