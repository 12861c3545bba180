"""How long a page of many records takes: `python -m tests.report.many 10000`."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

from bench.records.store import Store
from bench.report.render.page import build
from tests.report import synthetic

METHODS, DOMAINS, SHOTS = 10, 5, (0, 1, 5, 20, "all")


def fill(store: Store, count: int) -> None:
    """Write so many records of ten methods on the pairs of five domains, with as many seeds as it takes."""
    pairs = [(f"domain {a}", f"domain {b}") for a, b in product(range(DOMAINS), repeat=2) if a != b]
    seeds = -(-count // (METHODS * len(pairs) * len(SHOTS)))
    cells = product(range(seeds), range(METHODS), pairs, SHOTS)
    for _, (seed, method, (source, target), shots) in zip(range(count), cells, strict=False):
        right = 8 + 2 * method + (len(source) + seed + int(target[-1]) % 3) % 5
        synthetic.write(store, synthetic.cell(f"method-{method}", source, target, shots, seed), right)


def main() -> None:
    """Print seconds, memory and the size of the page."""
    count = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "results")
        fill(store, count)
        start, busy = time.perf_counter(), time.process_time()
        page = build(store.root, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
        took, busy = time.perf_counter() - start, time.process_time() - busy
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{count} records: {took:.1f} s ({busy:.1f} s of the processor), peak memory {peak:.2f} GiB, "
            f"page {page.stat().st_size / 1e6:.1f} MB"
        )


if __name__ == "__main__":
    main()
