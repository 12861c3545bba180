"""Many pieces of work at once: in threads where it releases the interpreter's lock, else in processes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

IDLE = 10
"""Seconds that processes without work stay, since they take a second to start."""


def in_threads(work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Results in the order of the items; few items are taken ahead, so that an iterator may be long."""
    workers = processors()
    with ThreadPoolExecutor(workers, thread_name_prefix="bench") as pool:
        yield from _in_order(pool, work, items, 8 * workers)


def in_processes(work: Callable[[A], B], items: Iterable[A], most: int) -> Iterator[B]:
    """The same in at most so many processes, for work that holds the lock and is some seconds.

    What is worked on and what comes of it can be pickled; `work` is a function of a module.
    """
    # Not the standard library's, which runs a script that forgot `if __name__ == "__main__"` again and again.
    from loky import get_reusable_executor

    workers = min(processors(), most)
    pool = get_reusable_executor(workers, timeout=IDLE)
    try:
        yield from _in_order(pool, work, items, 2 * workers)
    except BaseException:
        # After an interruption nobody waits for what is not wanted any more.
        pool.shutdown(kill_workers=True)
        raise


def _in_order(pool: Executor, work: Callable[[A], B], items: Iterable[A], ahead: int) -> Iterator[B]:
    waiting: deque[Future[B]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def processors() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
