"""Cells an hour of two workers against one: `python -m tests.speed.workers [local|ray] [STEPS]`.

The same suite twice, each time from nothing: one worker with one thread, then two with one thread each.
Seconds are counted from the first cell that is done to the last, so that neither start-up nor what only the
first cell waits for is in them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from bench.store import Store

SUITE = """
description = "cells of one size"
dataset = "emoji-home"
image_size = 64
backbones = ["tf_efficientnet_lite0"]
methods = ["full-finetune"]
seeds = [0, 1, 2]

[budget]
steps = {steps}
batch_size = 32
looks = 2

[[scenarios]]
kind = "cross-domain"
sources = ["google"]
targets = ["apple", "twitter", "windows"]
shots = [1, 5]
"""


def rate(executor: str, workers: int, steps: int, folder: Path) -> float:
    """Cells per hour."""
    suite = folder / "cells.toml"
    suite.write_text(SUITE.format(steps=steps))
    results = folder / f"results-{workers}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "BENCH_CACHE": str(folder / f"cache-{workers}")}
    command = [sys.executable, "-m", "bench", "run", "--suite", str(suite), "--results", str(results)]
    options = ["--executor", executor, "--workers", str(workers), "--no-share"]
    log = folder / f"log-{workers}"
    stamps = []
    with subprocess.Popen(
        [*command, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            log.open("a").write(line)
            if "] done " in line:
                stamps.append(datetime.now())
    records = list(Store(results).records())
    if process.returncode or len(records) != len(stamps) or len(stamps) < 4:
        raise SystemExit(f"the run went wrong:\n{log.read_text()}")
    # With W workers, W cells end together: those that ended with the first are not counted either.
    return 3600 * (len(stamps) - workers) / (stamps[-1] - stamps[workers - 1]).total_seconds()


def main(executor: str = "local", steps: str = "30") -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        one, two = (rate(executor, workers, int(steps), Path(folder)) for workers in (1, 2))
    print(f"{executor}: {one:.0f} cells an hour with one worker, {two:.0f} with two: {two / one:.2f}×")


if __name__ == "__main__":
    main(*sys.argv[1:])
