"""What other work on the machine costs: `python -m tests.speed.busy [--rounds N] [--command]`.

A training step of full fine-tuning, as in the suite `quick`, in a process of its own, beside busy processes
of one thread each; as the benchmark has OpenMP's threads wait, and as they do by default. They take turns,
so that both see the same machine. With `--command`, the suite `smoke` as a whole command, too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from bench.processes.openmp import SPIN_COUNT, WAIT_POLICY, waiting
from tests.speed.served import Served, serve

HOGS = (0, 1, 2, 4)
ENVIRONMENTS: dict[str, dict[str, str]] = {"as here": waiting(), "OpenMP's default": {}}


@contextmanager
def hogs(count: int) -> Iterator[None]:
    """Busy processes of one thread each, for the block."""
    with ExitStack() as stack:
        for _ in range(count):
            hog = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(hog.kill)
        time.sleep(0.5 if count else 0.0)
        yield


def steps() -> None:
    """Take steps on request, and print how long each took."""
    import torch

    from bench.engine.cell.environment import default_threads
    from tests.speed.steps import REFERENCE, Steps

    torch.set_num_threads(default_threads())
    with tempfile.TemporaryDirectory() as folder:
        training = Steps(REFERENCE, Path(folder))
        training.run()
        serve(training.run)


def command(count: int) -> float:
    """Seconds of the suite `smoke` as a command, from nothing, beside so many hogs."""
    with tempfile.TemporaryDirectory() as folder, hogs(count):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "bench", "run", "--suite", "smoke", "--results", f"{folder}/results"],
            env={**os.environ, "BENCH_CACHE": f"{folder}/cache"},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--command", action="store_true", help="the suite smoke, too")
    parser.add_argument("--steps", action="store_true", help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.steps:
        return steps()
    steppers = {
        name: Served("tests.speed.busy", "--steps", unset=(SPIN_COUNT, WAIT_POLICY), environment=waits)
        for name, waits in ENVIRONMENTS.items()
    }
    print("| busy processes |", " | ".join(f"{name}, ms a step | ×" for name in steppers), "|")
    print("| ---: |", " | ".join("---: | ---:" for _ in steppers), "|")
    quiet: dict[str, float] = {}
    for count in HOGS:
        with hogs(count):
            rounds = [{name: each.seconds() for name, each in steppers.items()} for _ in range(said.rounds)]
        found = {name: median(taken[name] for taken in rounds) for name in steppers}
        quiet = quiet or found
        cells = (f"{1000 * found[name]:.0f} | {found[name] / quiet[name]:.2f}" for name in steppers)
        print(f"| {count} |", " | ".join(cells), "|", flush=True)
    for each in steppers.values():
        each.close()
    if said.command:
        alone, beside = command(0), command(2)
        print(f"smoke as a command: {alone:.0f} s, beside two {beside:.0f} s: {beside / alone:.2f}×")


if __name__ == "__main__":
    main()
