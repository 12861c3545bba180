"""Page of many methods, measured: `python -m tests.speed.page [--methods 47] [--page FILE] [--times]`.

Synthetic records of so many methods on the twelve pairs of four domains, three seeds, no and five labels.
Prints, each beside its bound, seconds and bytes of the page, and from Chromium at 400, 768 and 1,440 px in
both themes how long it takes to open, to filter by each field and to follow a hash, what axe-core finds,
errors, requests, and where the answer ends on the screen. Exit code 1 where one is missed: of times, only
with `--times`.
"""

from __future__ import annotations

import argparse
import sys
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
BYTES, BUILT, OPENS, FILTERED, HEIGHT = 6_000_000, 25.0, 2.0, 100.0, 900
"""Bounds: bytes, seconds to build and to open, milliseconds of a change, pixels where the answer ends."""

FILTERS = """async () => {
  const form = document.querySelector("#filter");
  const took = {};
  const time = async (name, change, after = () => null) => {
    const start = performance.now();
    const seen = after();
    change();
    await seen;
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    took[name] = Math.max(took[name] ?? 0, performance.now() - start);
  };
  const texts = { search: ["fine", "finetune", "zzz"], number: ["10", "60", "1e9"] };
  for (const field of form.querySelectorAll("[name]")) {
    const values = texts[field.type] ?? [...field.options].slice(1, 4).map((option) => option.value);
    for (const value of [...values, ""])
      await time(field.name, () => {
        field.value = value;
        field.dispatchEvent(new Event("input", { bubbles: true }));
      });
  }
  const box = form.querySelector("[type=checkbox]");
  for (let times = 0; times < 2; times++) await time("methods", () => box.click());
  const changed = () => new Promise((done) => addEventListener("hashchange", done, { once: true }));
  for (const hash of ["~find=fine&seconds=60", "leaderboard~without=linear-probe", "~"])
    await time("hash", () => (location.hash = hash), changed);
  return took;
}"""
"""Longest time by filter, and of another hash, from a change to the picture of it, in milliseconds."""


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

    filters: milliseconds of the slowest change by filter, and of the hash; answer: where the decision ends,
    in pixels.
    """

    window: int
    scheme: str
    filters: dict[str, float]
    answer: float


@dataclass(frozen=True)
class Measured:
    """Something that was measured, beside its bound; `timed` where that depends on the machine."""

    what: str
    value: float
    most: float
    unit: str
    timed: bool = False

    def __str__(self) -> str:
        value, most = (f"{number:,.2f}".rstrip("0").rstrip(".") for number in (self.value, self.most))
        return f"{self.what}: {value}{self.unit} (at most {most}{self.unit}){' MISSED' * self.missed}"

    @property
    def missed(self) -> bool:
        """True where it is over its bound."""
        return self.value > self.most


def of_a_visit(visit: browser.Visit, look: Look) -> Iterator[Measured]:
    """Measures of a page at one width in one theme."""
    yield Measured("opens in", visit.seconds, OPENS, " s", timed=True)
    for name, took in look.filters.items():
        yield Measured(f"filter by {name}" if name != "hash" else name, took, FILTERED, " ms", timed=True)
    yield Measured("width", visit.width, visit.window, " px")
    if look.window == max(WIDTHS):
        yield Measured("answer ends at", look.answer, HEIGHT, " px")
    yield Measured("errors", len(visit.errors), 0, "")
    yield Measured("requests", len(visit.requests), 0, "")
    if visit.violations is not None:
        yield Measured("violations of axe-core", len(visit.violations), 0, "")


def looks(running: Any, address: str) -> Iterator[Look]:
    """Look at the page at every width and in every theme."""
    for scheme, width in product(browser.SCHEMES, WIDTHS):
        context = running.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        page.goto(address)
        answer = page.evaluate("document.querySelector('#answer').getBoundingClientRect().bottom")
        yield Look(width, scheme, page.evaluate(FILTERS), answer)
        context.close()


def measure(page: Path) -> Iterator[Measured]:
    """Measures of a page in the browser, each said as it comes."""
    rules = browser.axe()
    if rules is None:
        print("axe-core is not installed: violations are not counted")
    with browser.chromium() as running:
        address = page.resolve().as_uri()
        visits = browser.visits(running, address, WIDTHS, rules)
        for visit, look in zip(visits, looks(running, address), strict=True):
            print(f"{visit.window} px, {visit.scheme}")
            for found in of_a_visit(visit, look):
                print(f"    {found}")
                yield found
            for line in [*visit.errors, *visit.requests, *(visit.violations or [])][:20]:
                print(f"        {line}")


def main() -> None:
    """Write records, build the page, look at it; exit code 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", type=int, default=47)
    parser.add_argument("--page", type=Path, help="where to keep the page")
    parser.add_argument("--times", action="store_true", help="bounds of time count, which machines differ in")
    options = parser.parse_args()
    methods = names(options.methods)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "results")
        print(f"{options.methods} methods, {fill(store, methods)} records")
        page = options.page or Path(folder) / "report.html"
        start = time.perf_counter()
        build(store.root, page, notes=notes(methods))
        took = time.perf_counter() - start
        found = [
            Measured("built in", took, BUILT, " s", timed=True),
            Measured("size", page.stat().st_size / 1e6, BYTES / 1e6, " MB"),
        ]
        print(*found, sep="\n")
        found += measure(page)
    missed = [each for each in found if each.missed]
    print(f"{len(missed)} of {len(found)} bounds missed", *missed, sep="\n    ")
    sys.exit(any(options.times or not each.timed for each in missed))


if __name__ == "__main__":
    main()
