"""Many records, read by several processes: parsing and scoring take longer than the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from bench.executors.pool import in_processes, processors
from bench.garbage import left_alone
from bench.store import Store

Part = TypeVar("Part")

MANY = 20_000
"""Records from which on it pays to start processes, which take a second or two."""
AT_ONCE = 2_000
"""Records that a process reads before it hands over what it made of them: some megabytes."""
MOST = 8
"""Processes: one can only take in so much."""


def in_parts(
    store: Store, keys: Sequence[str], read: Callable[[Store, Sequence[str]], Part]
) -> Iterator[Part]:
    """What `read` makes of the records of these keys, some of them at a time, in order.

    It may run in another process: so it is a function of a module (or a `partial` of one), what it returns
    can be pickled, and what it notes in the store stays there. A baseline, which is small and may be in
    memory, is read here.
    """
    parts = [keys[start : start + AT_ONCE] for start in range(0, len(keys), AT_ONCE)]
    if len(keys) < MANY or store.read_only or processors() == 1:
        return map(partial(_part, store, read), parts)
    # A store of its own: this one may know of all records what another process need not hear of each part.
    return in_processes(partial(_part, Store(store.root), read), parts, MOST)


def _part(store: Store, read: Callable[[Store, Sequence[str]], Part], keys: Sequence[str]) -> Part:
    with left_alone():
        return read(store, keys)
