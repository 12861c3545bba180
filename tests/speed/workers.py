"""Cells an hour of two workers against one: `python -m tests.speed.workers [local|ray] [STEPS [MINUTES]]`.

The same suite twice, each time from nothing: one worker with one thread, then two with one thread each.
Seconds are counted from the first cell that is done, so that neither start-up nor what only the first cell
waits for is in them, to the last, or for so many minutes, after which the run is interrupted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from bench.records.store import Store

SUITE = """
description = "cells of one size"
dataset = "emoji-home"
image_size = 64
backbones = ["tf_efficientnet_lite0"]
methods = ["full-finetune"]
seeds = {seeds}

[budget]
steps = {steps}
batch_size = 32
evaluations = 2

[[scenarios]]
kind = "cross-domain"
sources = ["google"]
targets = ["apple", "twitter", "windows"]
shots = [1, 5]
"""


SEEDS = 3
"""Of a run to its end; one that is interrupted has more than it can do."""


def rate(executor: str, workers: int, steps: int, minutes: float | None, folder: Path) -> float:
    """Cells per hour."""
    suite = folder / "cells.toml"
    suite.write_text(SUITE.format(steps=steps, seeds=[*range(SEEDS if minutes is None else 100 * SEEDS)]))
    long = timedelta(minutes=minutes or 0)
    results = folder / f"results-{workers}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "BENCH_CACHE": str(folder / f"cache-{workers}")}
    command = [sys.executable, "-m", "bench", "run", "--suite", str(suite), "--results", str(results)]
    options = ["--executor", executor, "--workers", str(workers), "--no-share"]
    log = folder / f"log-{workers}"
    stamps: list[datetime] = []
    counted: list[datetime] = []
    with subprocess.Popen(
        [*command, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            log.open("a").write(line)
            if "] done " in line:
                stamps.append(datetime.now())
                # W workers' first cells end together: none of them is counted.
                counted = stamps[workers - 1 :]
                if minutes and len(counted) > 1 and counted[-1] - counted[0] > long:
                    process.send_signal(signal.SIGTERM)
                    break
        rest = process.stdout.read()
        log.open("a").write(rest)
    done = len(stamps) + rest.count("] done ")
    fine = process.returncode == (128 + signal.SIGTERM if minutes else 0)
    if not fine or len(list(Store(results).records())) != done or len(stamps) < 4:
        raise SystemExit(f"the run went wrong:\n{log.read_text()}")
    return 3600 * (len(counted) - 1) / (counted[-1] - counted[0]).total_seconds()


def main(executor: str = "local", steps: str = "30", minutes: str = "") -> None:
    """Measure and print."""
    most = float(minutes) if minutes else None
    with tempfile.TemporaryDirectory() as folder:
        one, two = (rate(executor, workers, int(steps), most, Path(folder)) for workers in (1, 2))
    print(f"{executor}: {one:.0f} cells an hour with one worker, {two:.0f} with two: {two / one:.2f}×")


if __name__ == "__main__":
    main(*sys.argv[1:])
