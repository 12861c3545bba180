"""Garbage collection, where it only costs."""

from __future__ import annotations

import atexit
import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def paused_gc() -> Iterator[None]:
    """No search for cycles within the block, which makes many objects, most of which stay.

    Python would go through all of them again and again: a sixth of the time that a large page takes.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """The same for a block that imports, a fifth faster; what is there at its end is not looked at again."""
    with paused_gc():
        yield
    gc.freeze()


def stays() -> None:
    """What is there when this process ends is not taken apart, which is 0.3 s where pandas is loaded."""
    atexit.register(gc.freeze)
