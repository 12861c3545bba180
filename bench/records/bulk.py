"""Many records, read by several processes: parsing and scoring take longer than the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TypeVar

from bench.processes.garbage import paused_gc
from bench.processes.pool import in_processes, processors

Part = TypeVar("Part")

MANY = 20_000
"""Records from which on it pays to start processes, which take a second or two."""
AT_ONCE = 2_000
"""Records that a process reads before it hands over what it made of them: some megabytes."""
MOST = 8
"""Processes: one can only take in so much."""


def in_parts(read: Callable[[list[str]], Part], keys: Iterable[str], many: bool) -> Iterator[Part]:
    """What `read` makes of these keys, some of them at a time, in order.

    With `many` it may run in another process: so it is a function of a module or a `partial` of one, what
    it is given and returns can be pickled, and what it changes stays there.
    """
    parts = _parts(iter(keys))
    if many and processors() > 1:
        return in_processes(partial(_undisturbed, read), parts, MOST)
    return map(partial(_undisturbed, read), parts)


def _parts(keys: Iterator[str]) -> Iterator[list[str]]:
    while part := [*islice(keys, AT_ONCE)]:
        yield part


def _undisturbed(read: Callable[[list[str]], Part], keys: list[str]) -> Part:
    with paused_gc():
        return read(keys)
