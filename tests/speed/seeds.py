"""What further seeds cost beside the first: `python -m tests.speed.seeds [--seeds N] [--steps N] [METHODS…]`.

Each of METHODS, as `maml` or several together as `linear-probe,dann`, is run as a command from nothing, with
an empty cache, once with one seed and once with N, on one pair of emoji domains with no shots and with five.
Prints wall seconds, and seconds of processors, which other work on the machine blurs less; then, for each
phase of cells, the seconds that the one seed took, and those of all. Without METHODS: heads, an adapter and
MAML with ten seeds, and the six methods of `emoji-home` with three.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench.records.store import Store

SUITE = """
description = "one pair, some seeds"
dataset = "emoji-home"
image_size = 64
backbones = ["tf_efficientnet_lite0"]
methods = [{methods}]

[budget]
steps = {steps}
batch_size = 32
evaluations = 2

[[scenarios]]
kind = "cross-domain"
sources = ["google"]
targets = ["twitter"]
shots = [0, 5]
"""
EACH = ("linear-probe", "simpleshot", "adapter", "maml")
MATRIX = "linear-probe,partial-finetune,full-finetune,dann,maml,nas-lite"
USUAL = [*((methods, 10) for methods in EACH), (MATRIX, 3)]


@dataclass(frozen=True)
class Spent:
    """Seconds of a command: by the clock, of processors, and of its cells by phase."""

    wall: float
    busy: float
    phases: Counter[str]


def run(methods: str, seeds: int, steps: int) -> Spent:
    """Run methods from nothing as a command."""
    with tempfile.TemporaryDirectory() as folder:
        suite, results = Path(folder, "suite.toml"), Path(folder, "results")
        names = ", ".join(f'"{name}"' for name in methods.split(","))
        suite.write_text(SUITE.format(methods=names, steps=steps), encoding="utf-8")
        command = [sys.executable, "-m", "bench", "run", "--suite", str(suite), "--results", str(results)]
        command += ["--seeds", ",".join(map(str, range(seeds)))]
        environment = {**os.environ, "BENCH_CACHE": f"{folder}/cache"}
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, env=environment, stdout=sys.stderr)
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        phases: Counter[str] = Counter()
        for record in Store(results).records():
            phases.update(record.cost.seconds)
            phases.update({f"train {name}": stage.seconds for name, stage in record.cost.stages.items()})
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{methods}, {seeds} seeds: {wall:.1f} s, {busy:.1f} of processors", file=sys.stderr, flush=True)
    return Spent(wall, busy, phases)


def compare(methods: str, seeds: int, steps: int) -> None:
    """Print a row of one seed beside several."""
    one, many = run(methods, 1, steps), run(methods, seeds, steps)
    pairs = ((one.wall, many.wall), (one.busy, many.busy))
    times = " | ".join(f"{a:.1f} | {b:.1f} | {b / a:.2f}×" for a, b in pairs)
    phases = ", ".join(f"{name} {one.phases[name]:.1f} → {many.phases[name]:.1f}" for name in many.phases)
    print(f"| {methods} | {seeds} | {times} | {phases} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("methods", nargs="*", help="names, or several with commas")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=40)
    said = parser.parse_args()
    print("| methods | seeds | s of 1 | all | × | processor s of 1 | all | × | seconds of cells |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    for methods, seeds in [(methods, said.seeds) for methods in said.methods] or USUAL:
        compare(methods, seeds, said.steps)


if __name__ == "__main__":
    main()
