"""The clock of work, beside processes that want the same processor."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.processes.clock import waited, work_clock

PINNED = "import os; os.sched_setaffinity(0, {%d})\n"
HOG = "while True: pass"
WORK = """
import time
from bench.processes.clock import waited, work_clock
wall, work, delay = time.perf_counter(), work_clock(), waited()
while time.thread_time() < 0.6:
    pass
print(time.perf_counter() - wall, work_clock() - work, waited() - delay)
"""


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="nobody counts waiting here")
def test_waiting_for_a_processor_is_left_out() -> None:
    """Two processes more on the only processor that this work may use: it has a third of it."""
    pinned = PINNED % min(os.sched_getaffinity(0))
    hogs = [subprocess.Popen([sys.executable, "-c", pinned + HOG]) for _ in range(2)]
    try:
        said = subprocess.run(
            [sys.executable, "-c", pinned + WORK], capture_output=True, text=True, check=True
        )
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    wall, work, delay = map(float, said.stdout.split())
    assert delay > 0.3 * wall, said.stdout
    assert work == pytest.approx(wall - delay, abs=0.05)
    assert work < 0.7 * wall


def test_sleep_is_no_waiting() -> None:
    before, since = waited(), work_clock()
    time.sleep(0.2)
    assert work_clock() - since + (waited() - before) >= 0.2
