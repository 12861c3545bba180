"""What sharing saves, against what the plan predicts: `python -m tests.speed.sharing`.

Six methods on the 12 pairs of `emoji-home`, twice, each time from nothing: with sharing, and with
`--no-share`. The prediction is the plan's, from the first run's records. Prints seconds of both commands, and
of the cells alone: all of them, and those of methods whose source stage does not see the target. Arguments
are steps (40), shots ("[0]"), and a folder in which runs stay; what is recorded there is not run again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

from bench.commands.experiments.cost_model import CostModel, MethodTraits
from bench.commands.experiments.plan_view import method_traits
from bench.data.catalog import load_card
from bench.records.record import Record
from bench.records.store import Store
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import load_suite

SUITE = """
description = "six methods, twelve pairs"
dataset = "emoji-home"
image_size = 64
backbones = ["{backbone}"]
methods = ["linear-probe", "partial-finetune", "full-finetune", "dann", "maml", "nas-lite"]

[budget]
steps = {steps}
batch_size = 32
evaluations = 2

[[scenarios]]
kind = "cross-domain"
shots = {shots}
"""
BACKBONE = "tf_efficientnet_lite0"


def run(suite: Path, folder: Path, *options: str) -> tuple[float | None, list[Record]]:
    """Wall seconds of a command that found nothing done, and its records."""
    before = any(Store(folder / "results").files())
    command = [sys.executable, "-m", "bench", "run", "--suite", str(suite)]
    command += ["--results", str(folder / "results"), *options]
    environment = {**os.environ, "BENCH_CACHE": str(folder / "cache")}
    since = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=sys.stderr)
    seconds = None if before else time.perf_counter() - since
    return seconds, list(Store(folder / "results").records())


def spent(records: list[Record], which: set[str]) -> float:
    """Seconds that the cells of some methods took themselves."""
    chosen = [record for record in records if record.request.cell.method in which]
    return sum(sum(record.cost.seconds.values()) for record in chosen)


def main(steps: str = "40", shots: str = "[0]", folder: str | None = None) -> None:
    """Measure and print."""
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            measure(steps, shots, Path(temporary))
    else:
        measure(steps, shots, Path(folder))


def measure(steps: str, shots: str, folder: Path) -> None:
    """In a folder."""

    @cache
    def traits_of(method: str) -> MethodTraits:
        return method_traits(method, {}, BACKBONE)

    folder.mkdir(parents=True, exist_ok=True)
    suite_file = folder / "matrix.toml"
    suite_file.write_text(SUITE.format(backbone=BACKBONE, steps=steps, shots=shots))
    suite = load_suite(str(suite_file))
    with_sharing, sharing = run(suite_file, folder / "shared")
    without_sharing, apart = run(suite_file, folder / "alone", "--no-share")
    done = {record.key for record in sharing if record.outcome.status == "done"}
    cells = [cell for cell in plan(suite, load_card(suite.dataset)) if cell.key in done]
    model = CostModel.fit(sharing, traits_of)

    def predicted(which: set[str]) -> tuple[float, float]:
        found = model.estimate([cell for cell in cells if cell.method in which])
        assert found
        return found.alone, found.shared

    print(f"{len(cells)} cells of {steps} steps, shots {shots}")
    if without_sharing and with_sharing:
        times = without_sharing / with_sharing
        print(f"whole commands: {without_sharing:.0f} s without, {with_sharing:.0f} s with: {times:.2f}×")
    stored = {record.key: record.predictions_sha256 for record in apart}
    alike = sum(stored[r.key] == r.predictions_sha256 for r in sharing if r.key in done)
    print(f"{alike} of {len(done)} cells predict the same, bit for bit")
    methods = dict.fromkeys(cell.method for cell in cells)
    blind = {method for method in methods if not traits_of(method).sees_target}
    for name, which in (("all cells", set(methods)), ("source stages that saw no target", blind)):
        alone, shared = spent(apart, which), spent(sharing, which)
        foretold_alone, foretold = predicted(which)
        saving, expected = 1 - shared / alone, 1 - foretold / foretold_alone
        print(
            f"{name}: {alone:.0f} s without, {shared:.0f} s with: {alone / shared:.2f}×; foretold "
            f"{foretold_alone:.0f} s and {foretold:.0f} s: {foretold_alone / foretold:.2f}×; "
            f"saved {saving:.1%}, {saving / expected:.0%} of the {expected:.1%} foretold"
        )
    for method in methods:
        print(f"  {method}: {spent(apart, {method}):.0f} s without, {spent(sharing, {method}):.0f} s with")


if __name__ == "__main__":
    main(*sys.argv[1:])
