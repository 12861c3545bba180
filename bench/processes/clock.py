"""Clock of work: it stands still while this thread waits for a processor that others hold.

On a shared machine wall time tells how much others did, too. Linux counts how long a thread was ready to run
and did not (`schedstat` in proc(5)); elsewhere nobody does, and the clock is one of wall time.
"""

from __future__ import annotations

import time


def waited() -> float:
    """Seconds that this thread has been ready to run, but without a processor; 0 where nobody counts them."""
    try:
        with open("/proc/thread-self/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def work_clock() -> float:
    """Seconds since some moment, less what this thread waited for a processor.

    With several threads it is this one's waiting alone that is left out, not that for the others.
    """
    return time.perf_counter() - waited()
