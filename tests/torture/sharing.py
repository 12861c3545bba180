"""Several processes on one results folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.quick import worked
from tests.support.checkout import ROOT


def share(root: Path, processes: int, cells: int) -> tuple[int, int]:
    """(cells that were worked on, how often more than once) by processes that begin at the same time."""
    root.mkdir(parents=True)
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.quick", str(root), str(cells)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
        )
        for _ in range(processes)
    ]
    assert [run.wait() for run in runs] == [0] * processes
    times = Counter(worked(root))
    return len(times), sum(count - 1 for count in times.values())
