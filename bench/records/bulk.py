"""Parallel reading of many records: parsing and scoring take longer than the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TypeVar

from bench.processes.garbage import paused_gc
from bench.processes.pool import in_processes, processors

Result = TypeVar("Result")

MANY = 20_000
"""Number of records from which on it pays to start processes, which take a second or two."""
AT_ONCE = 2_000
"""Records of one chunk: their results are some megabytes."""
MOST = 8
"""Largest number of processes: one reader can only receive so much."""


def map_chunks(read: Callable[[list[str]], Result], keys: Iterable[str], many: bool) -> Iterator[Result]:
    """Apply `read` to chunks of keys; results come in the order of the keys.

    With `many`, `read` may run in another process: it must be a function of a module or a `partial` of one,
    its argument and result must be picklable, and what it changes stays in that process.
    """
    chunks = _chunks(iter(keys))
    if many and processors() > 1:
        return in_processes(partial(_without_gc, read), chunks, MOST)
    return map(partial(_without_gc, read), chunks)


def _chunks(keys: Iterator[str]) -> Iterator[list[str]]:
    while chunk := [*islice(keys, AT_ONCE)]:
        yield chunk


def _without_gc(read: Callable[[list[str]], Result], keys: list[str]) -> Result:
    with paused_gc():
        return read(keys)
