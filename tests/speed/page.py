"""Page of many methods, measured: `python -m tests.speed.page [--methods 47] [--page FILE]`.

Synthetic records of so many methods on the twelve pairs of four domains, three seeds, no and five labels.
Prints seconds and bytes of the page, and from Chromium at 400, 768 and 1,440 px in both themes how long it
takes to open and to filter, what axe-core finds, errors, requests, and where the answer ends on the screen.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import Any

from bench.method.registry import family, method_modules
from bench.records.record import Cost, StageCost
from bench.records.store import Store
from bench.report.render import browser
from bench.report.render.page import build
from bench.report.tables.methods.families import MethodNotes
from tests.report import synthetic

DOMAINS, SEEDS, SHOTS = ("google", "apple", "twitter", "facebook"), 3, (0, 5)
WIDTHS = (400, 768, 1440)
FILTERS = """async () => {
  const field = document.querySelector("#filter").elements.find;
  const took = [];
  for (const words of ["fine", "finetune", "", "peft", "zzz", ""]) {
    field.value = words;
    const start = performance.now();
    field.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    took.push(performance.now() - start);
  }
  return Math.max(...took);
}"""
"""Longest time from a change of the filter to the picture of it, in milliseconds."""


def names(count: int) -> list[str]:
    """So many methods of this checkout, and names of none where there are not that many."""
    known = sorted(method_modules(), key=lambda name: (name != "linear-probe", name))
    return [*known[:count], *(f"method-{number}" for number in range(count - len(known)))]


def fill(store: Store, methods: list[str]) -> int:
    """Write the records; methods of a family are alike in cost, and dearer ones often better."""
    families = sorted({_family(name) for name in methods})
    count = 0
    for (place, method), pair, seed, shots in product(
        enumerate(methods), permutations(DOMAINS, 2), range(SEEDS), SHOTS
    ):
        kind = families.index(_family(method))
        seconds = (4.0 + 9.0 * kind) * (1 + 0.07 * (place % 7)) * (1 + (shots > 0))
        right = 9 + kind + (place * 5) % 7 + 2 * (len(pair[1]) % 4) + (place + seed) % 2 + shots
        cell = synthetic.cell(method, *pair, shots, seed)
        cost = Cost(
            seconds={"data": 1.0},
            stages={"target": StageCost(seconds=seconds)},
            parameters=1000,
            parameters_trained=10 * (place + 1),
            peak_memory_bytes=2**21 * (kind + 1),
        )
        synthetic.write(store, cell, min(right, synthetic.IMAGES), cost=cost)
        count += 1
    return count


def _family(method: str) -> str:
    return family(method) if method in method_modules() else "others"


def notes(methods: list[str]) -> MethodNotes:
    """Families of these methods."""
    return MethodNotes("full-finetune", {name: _family(name) for name in methods})


@dataclass(frozen=True)
class Look:
    """What a visit of `bench.report.render.browser` does not say.

    filters: milliseconds of the slowest change of the filter; answer: where the decision ends, in pixels.
    """

    window: int
    scheme: str
    filters: float
    answer: float


def looks(running: Any, address: str) -> Iterator[Look]:
    """Look at the page at every width and in every theme."""
    for scheme, width in product(browser.SCHEMES, WIDTHS):
        context = running.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        page.goto(address)
        answer = page.evaluate("document.querySelector('#answer').getBoundingClientRect().bottom")
        yield Look(width, scheme, page.evaluate(FILTERS), answer)
        context.close()


def measure(page: Path) -> None:
    """Print what the browser says."""
    with browser.chromium() as running:
        address = page.resolve().as_uri()
        seen = looks(running, address)
        for visit in browser.visits(running, address, WIDTHS, browser.axe()):
            look = next(seen)
            broken = visit.violations
            print(
                f"{visit.window:5} px, {visit.scheme:5}: opens in {visit.seconds:.2f} s, filters in "
                f"{look.filters:.0f} ms, answer ends at {look.answer:.0f} of 900 px, {visit.width} px wide, "
                f"{len(visit.errors)} errors, {len(visit.requests)} requests, "
                f"{'axe-core is not installed' if broken is None else f'{len(broken)} violations'}"
            )
            for line in [*visit.errors, *visit.requests, *(broken or [])][:20]:
                print(f"    {line}")


def main() -> None:
    """Write records, build the page, look at it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", type=int, default=47)
    parser.add_argument("--page", type=Path, help="where to keep the page")
    options = parser.parse_args()
    methods = names(options.methods)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "results")
        count = fill(store, methods)
        page = options.page or Path(folder) / "report.html"
        start, busy = time.perf_counter(), time.process_time()
        build(store.root, page, notes=notes(methods))
        took, busy = time.perf_counter() - start, time.process_time() - busy
        print(
            f"{options.methods} methods, {count} records: built in {took:.1f} s ({busy:.1f} s of the "
            f"processor), {page.stat().st_size / 1e6:.2f} MB"
        )
        measure(page)


if __name__ == "__main__":
    main()
