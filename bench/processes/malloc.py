"""Memory that the C library keeps for a process, where that is glibc; elsewhere nothing happens."""

from __future__ import annotations

import contextlib
import ctypes

from bench.core.workarounds import applies

# Of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = (2**31 - 1, 2**25)
"""Thresholds in bytes; the second is the largest that older versions take."""


def retain() -> None:
    """Keep what this process frees for what it needs next.

    By default large blocks go back to the system, which hands them out anew page by page. The steps of a
    training all need the same blocks: of a small network on a CPU that was a tenth of the time.
    """
    if not applies("malloc"):
        return
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        # In this order: where the other one is set alone, the first stays at 128 KiB.
        if any(mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST):
            mallopt(_TRIM_THRESHOLD, _LARGEST[0])


def trim() -> None:
    """Return what is kept to the system."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
