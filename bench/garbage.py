"""Garbage collection, where it only costs."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def left_alone() -> Iterator[None]:
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
