"""Processes that a worker's work started, however they have detached themselves."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal

MARK = "TRANSFER_BENCH_WORKER"
"""Environment variable that a worker's descendants inherit: the marks of the workers above them, joined."""
ROUNDS = 5
"""Times that descendants are looked for: one that is about to start another may do so first."""


def new_mark() -> str:
    """Make a mark for a worker of this process, itself perhaps a worker."""
    return f"{os.environ.get(MARK, '')}/{secrets.token_hex(8)}"


def kill_descendants(mark: str) -> None:
    """Kill every process, but this one, that inherited a mark.

    A process group is left by `setsid`, and a parent is not known any more once it has died; an environment
    stays.
    """
    import psutil

    for _ in range(ROUNDS):
        found = False
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid != os.getpid() and process.environ().get(MARK, "").startswith(mark):
                    process.kill()
                    found = True
        if not found:
            return


def end_with_descendants() -> None:
    """End this worker at once, and all that it started."""
    if mark := os.environ.get(MARK):
        kill_descendants(mark)
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
    os._exit(0)
