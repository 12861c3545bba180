"""What `bench run` costs where nothing is left to run: `python -m tests.speed.again [CELLS]`.

Fills a folder with synthetic records of a suite of that many cells, as if today's code had made them, and
prints the seconds of the command: once with the report to be built, once with nothing to do at all.
"""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from safetensors.numpy import save

from bench.commands.experiments.run_plan import current_digests
from bench.data.catalog import load_card
from bench.records.codec import encode
from bench.records.store import Store
from bench.report.render.fingerprint import NAME
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import load_suite
from tests.report.synthetic import predictions, record

SUITE = """\
description = "many cells"
dataset = "emoji-home"
domains = ["google", "twitter"]
classes = 4
image_size = 32
backbones = ["tf_efficientnet_lite0"]
methods = ["scratch", "linear-probe", "partial-finetune", "full-finetune", "dann"]
seeds = {seeds}

[budget]
steps = 40
batch_size = 8
evaluations = 2

[[scenarios]]
kind = "cross-domain"
shots = [0, 1, 2, 5, "all"]
"""
EACH = 5 * 5 * 2
"""Cells of a seed."""

WATCHED = """
import sys
from bench.cli import main
try:
    main()
finally:
    print("imported torch" if "torch" in sys.modules else "without torch", file=sys.stderr)
"""


def fill(store: Store, suite_file: Path) -> None:
    """A record of today for every cell of a suite."""
    suite = load_suite(str(suite_file))
    card = load_card(suite.dataset)
    digests = current_digests(card, suite, [])
    for number, cell in enumerate(plan(suite, card)):
        right = 20 + 2 * suite.methods.index(cell.method) + number % 7
        blob = save(predictions({0: range(right), 1: range(right)}))
        digest = hashlib.sha256(blob).hexdigest()
        made = record(cell, digests=digests[cell.method], predictions_sha256=digest)
        path = store.path(made.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not through the store, which waits for the disk after each.
        path.write_bytes(encode(made))
        path.with_suffix(f".{digest[:16]}.safetensors").write_bytes(blob)


def main(count: int, folder: Path) -> None:
    """Fill and measure."""
    suite_file, results = folder / "many.toml", folder / "results"
    suite_file.write_text(SUITE.format(seeds=list(range(-(-count // EACH)))), encoding="utf-8")
    fill(Store(results), suite_file)
    command = [sys.executable, "-c", WATCHED, "run", "--suite", str(suite_file), "--results", str(results)]
    for name in ("report to be built", "nothing to do"):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ})
        took = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        written = (results / NAME).stat().st_mtime_ns
        print(f"{name}: {took:.1f} s, {busy:.1f} s of a processor, {done.stderr.strip()}, page {written}")
        print("  " + done.stdout.splitlines()[0], flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, Path(temporary))
