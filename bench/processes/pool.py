"""Many pieces of work at once: in threads where it releases the interpreter's lock, else in processes."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from itertools import chain
from multiprocessing import current_process, resource_tracker
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

IDLE = 10
"""Seconds that processes without work stay, since they take a second to start."""


def in_threads(work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Results in the order of the items; few items are taken ahead, so that an iterator may be long."""
    workers = processors()
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="bench") as pool:
        try:
            yield from _in_order(pool, work, items, 8 * workers, waiting)
        finally:
            for future in waiting:
                future.cancel()


@contextlib.contextmanager
def beside(work: Callable[[], object], stop: Callable[[], object]) -> Iterator[None]:
    """Let `work` go on in a thread beside the block; `stop` makes it return."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join()


def in_processes(work: Callable[[A], B], items: Iterable[A], most: int) -> Iterator[B]:
    """Map in at most so many processes, for work that holds the lock and takes some seconds.

    What is worked on and what comes of it can be pickled; `work` is a function of a module. Where a process
    is ended from outside, as by a system that is out of memory, what is left is done here.
    """
    # Not the standard library's, which runs a script that forgot `if __name__ == "__main__"` again and again.
    from loky import get_reusable_executor

    if current_process().daemon:
        # As a process of a pool is, which may start none.
        yield from map(work, items)
        return
    workers = min(processors(), most)
    pool = get_reusable_executor(workers, timeout=IDLE, initializer=_follow, initargs=(os.getpid(),))
    with _without_interruptions():
        pool.submit(int)  # starts the processes
    items, begun = iter(items), deque[A]()

    def beginning() -> Iterator[A]:
        for item in items:
            begun.append(item)
            yield item

    try:
        for result in _in_order(pool, work, beginning(), 2 * workers, deque()):
            begun.popleft()
            yield result
    except BrokenExecutor:
        yield from map(work, chain(begun, items))
    except BaseException:
        # After an interruption nobody waits for what is not wanted any more.
        pool.shutdown(kill_workers=True)
        raise


def _follow(parent: int) -> None:
    """End this process soon after the one that started it, which it would wait for in vain."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _without_interruptions() -> Iterator[None]:
    """Start processes within the block that leave interruptions from the terminal to this one."""
    if not hasattr(signal, "pthread_sigmask"):  # not on every system
        yield
        return
    # Python's own helper, which begins with the first process, would lift the block.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_order(
    pool: Executor, work: Callable[[A], B], items: Iterable[A], ahead: int, waiting: deque[Future[B]]
) -> Iterator[B]:
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def imports_main() -> bool:
    """Return True while a child process imports its parent's script, as of the start method `spawn`."""
    return bool(getattr(current_process(), "_inheriting", False))


def processors() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
