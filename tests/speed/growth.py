"""How costs grow with records, cells, methods and items: `python -m tests.speed.growth [NAME ...]`.

Each cost is taken in a process of its own at sizes that are ten times each other, on synthetic records and
files that are made before. Printed are seconds of a processor, helper processes included, the most memory of
one process, and the seconds as a multiple of those at the size before: 10 is linear, less is a part that does
not grow. `--most N` leaves out larger sizes; `--folder DIR` keeps what was made; `--profile` says where
time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import os
import pstats
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from bench.records.archive import replace_archives, to_zip
from bench.records.codec import encode
from bench.records.store import Store
from bench.spec.cell import Cell
from tests.report import synthetic

METHODS, DOMAINS, SHOTS = 10, 5, (0, 1, 5, "all")
LARGEST_BASELINE = 10_000
PAIRS = [(f"domain {a}", f"domain {b}") for a, b in product(range(DOMAINS), repeat=2) if a != b]


# Records -------------------------------------------------------------------------------------------------


def cells(count: int) -> Iterator[Cell]:
    """Different questions: ten methods on the pairs of five domains, with as many seeds as it takes."""
    seeds = -(-count // (METHODS * len(PAIRS) * len(SHOTS)))
    every = product(range(seeds), range(METHODS), PAIRS, SHOTS)
    found = (synthetic.cell(f"method{m}", *pair, shots, seed) for seed, m, pair, shots in every)
    return islice(found, count)


def fill(root: Path, count: int, worse: int) -> None:
    """Write records; those of the first method are right on `worse` images fewer."""
    blobs: dict[int, tuple[bytes, str]] = {}
    store = Store(root)
    for place, cell in enumerate(cells(count)):
        right = 8 + 2 * int(cell.method[-1]) + place % 5 - (worse if cell.method == "method0" else 0)
        if right not in blobs:
            blob = save(synthetic.predictions({0: range(right), 1: range(right)}))
            blobs[right] = blob, hashlib.sha256(blob).hexdigest()
        blob, digest = blobs[right]
        made = synthetic.record(cell).model_copy(update={"predictions_sha256": digest})
        path = store.path(made.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not through the store, which waits for the disk after each.
        path.write_bytes(encode(made))
        path.with_suffix(f".{digest[:16]}.safetensors").write_bytes(blob)


def make_records(folder: Path, count: int) -> None:
    """Two results folders that differ in one method's accuracy, and the first as a baseline's archives."""
    for name, worse in (("base", 0), ("new", 6)):
        fill(folder / name, count, worse)
    archives: dict[str, dict[str, bytes]] = {}
    for cell in cells(min(count, LARGEST_BASELINE)):
        for path in Store(folder / "base").path(cell.key).parent.glob(f"{cell.key}.*"):
            place = f"records/{cell.key[:2]}/{cell.key}{path.suffix}"
            archives.setdefault(f"{cell.method}.zip", {})[place] = path.read_bytes()
    replace_archives(folder / "baseline", {name: to_zip(members) for name, members in archives.items()})


def missing(folder: Path, count: int) -> None:
    """What `bench run` asks before anything runs, all being there."""
    asked = list(cells(count))
    digests = {f"method{place}": synthetic.record(asked[0]).digests for place in range(METHODS)}
    todo, _ = Store(folder / "base").missing(asked, digests)
    assert not todo


def listing(folder: Path, count: int) -> None:
    """What every command that reads a folder begins with."""
    from bench.report.scores.frame import load_frame

    assert len(load_frame(Store(folder / "base"), per_image=False)) == count


def baseline(folder: Path, count: int) -> None:
    """Reading a baseline, an archive for each method."""
    from bench.report.scores.frame import load_frame

    assert len(load_frame(Store(folder / "baseline"), per_image=False)) == count


def compare(folder: Path, count: int) -> None:
    """`bench compare`."""
    from bench.report.regression.compare import compare as compared

    assert compared(Store(folder / "base"), Store(folder / "new")).cells


def report(folder: Path, count: int) -> None:
    """The page of a folder."""
    from bench.report.render.page import build

    assert build(folder / "base", folder / "report.html").stat().st_size


def serve(folder: Path, count: int) -> None:
    """Twenty requests of the page that `bench report --serve` shows, and what the server takes for them."""
    command = [sys.executable, "-m", "bench", "report", "--serve", "--port", "0", "--results"]
    command += [str(folder / "base")]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.match(r"http://\S+", server.stdout.readline())
        assert found
        while _get(f"{found[0]}version") == b"0":
            time.sleep(1)
        began, taken = _processor(server.pid), []
        for _ in range(20):
            start = time.perf_counter()
            assert len(_get(found[0])) > 10_000
            taken.append(time.perf_counter() - start)
        busy = _processor(server.pid) - began
        print(f"    {1000 * sorted(taken)[10]:.0f} ms a request, {1000 * busy / 20:.0f} ms of a processor")
    finally:
        server.terminate()
        server.wait()


def _get(address: str) -> bytes:
    with urllib.request.urlopen(address) as answer:
        content: bytes = answer.read()
        return content


def _processor(pid: int) -> float:
    """Seconds of a processor that a process has had (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# Cells, methods and items --------------------------------------------------------------------------------


def make_nothing(folder: Path, count: int) -> None:
    """Make nothing."""


def plan(folder: Path, count: int) -> None:
    """The plan of a suite of so many cells."""
    from bench.data.catalog import load_card
    from bench.spec.matrix.plan import plan as planned
    from tests.support.suites import emoji_suite

    methods = [f"method{place}" for place in range(METHODS)]
    seeds = list(range(count // (METHODS * 5)))
    table = {
        "kind": "cross-domain",
        "sources": ["google"],
        "targets": ["twitter"],
        "shots": [0, 1, 5, 10, 20],
    }
    suite = emoji_suite(methods=methods, seeds=seeds, scenarios=[table])
    assert len(planned(suite, load_card(suite.dataset))) == count


METHOD = '''"""A method that does what a linear probe does.

Somebody 2020. https://example.org/{name}
"""

from bench.api import GradientMethod


class Method(GradientMethod):
    """A linear probe."""
'''


def make_methods(folder: Path, count: int) -> None:
    """A package of so many methods, with the entry points that make them known."""
    package = folder / "many_methods"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    names = [f"extra-{place}" for place in range(count)]
    for name in names:
        (package / f"{name.replace('-', '_')}.py").write_text(METHOD.format(name=name), encoding="utf-8")
    info = folder / "many_methods-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: many-methods\nVersion: 1.0\n", encoding="utf-8"
    )
    points = [f"{name} = many_methods.{name.replace('-', '_')}:Method" for name in names]
    text = "\n".join(["[transfer_bench.methods]", *points, ""])
    (info / "entry_points.txt").write_text(text, encoding="utf-8")


def methods(folder: Path, count: int) -> None:
    """`bench list methods`."""
    sys.path.insert(0, str(folder))
    from click.testing import CliRunner

    from bench.cli import cli

    result = CliRunner().invoke(cli, ["list", "methods"])
    assert result.exit_code == 0
    assert f"extra-{count - 1} " in result.output


def make_items(folder: Path, count: int) -> None:
    """Own images of 4 × 4 pixels, all different, in two domains of ten classes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    header = chunk(b"IHDR", (4).to_bytes(4) * 2 + bytes([8, 0, 0, 0, 0]))
    for place in range(count):
        into = folder / "items" / f"domain{place % 2}" / f"class{place // 2 % 10}"
        into.mkdir(parents=True, exist_ok=True)
        pixels = hashlib.sha256(str(place).encode()).digest()[:16]
        rows = b"".join(b"\0" + pixels[row : row + 4] for row in range(0, 16, 4))
        content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        (into / f"{place}.png").write_bytes(content)


def items(folder: Path, count: int) -> None:
    """Listing, splitting and decoding one's own images for the first time, as a run does before its cells."""
    shutil.rmtree(folder / "cache", ignore_errors=True)
    items_again(folder, count)


def items_again(folder: Path, count: int) -> None:
    """The same of items that this machine has listed and decoded before."""
    _decode(folder, folder / "items", count, 4)


def make_texts(folder: Path, count: int) -> None:
    """A table of texts of some twenty words, all different, in two domains of ten classes."""
    lines = ["text,domain,label"]
    for place in range(count):
        digest = hashlib.sha256(str(place).encode()).hexdigest()
        words = " ".join(digest[start : start + 3] for start in range(0, 60, 3))
        lines.append(f"{words},domain{place % 2},class{place // 2 % 10}")
    (folder / "texts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def texts(folder: Path, count: int) -> None:
    """Reading, splitting and encoding one's own texts for the first time."""
    shutil.rmtree(folder / "cache", ignore_errors=True)
    _decode(folder, folder / "texts.csv", count, 48)


def make_rows(folder: Path, count: int) -> None:
    """A table of twenty columns of numbers and two of categories, in two domains of two classes."""
    random = np.random.default_rng(0)
    names = [*(f"number{column}" for column in range(20)), "colour", "place"]
    lines = [",".join([*names, "domain", "label"])]
    for place, numbers in enumerate(random.normal(size=(count, 20))):
        words = [f"colour{place % 7}", f"place{place % 11}", f"domain{place % 2}", f"class{place // 2 % 2}"]
        lines.append(",".join([*(f"{number:.4f}" for number in numbers), *words]))
    (folder / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def rows(folder: Path, count: int) -> None:
    """Reading and splitting one's own table for the first time."""
    shutil.rmtree(folder / "cache", ignore_errors=True)
    _decode(folder, folder / "rows.csv", count, 64)


def _decode(folder: Path, data: Path, count: int, size: int) -> None:
    """List, split and decode one's own data, of which the domains have half each."""
    from bench.data.dataset import open_dataset
    from bench.data.own import own_card
    from bench.data.splits import subset

    os.environ["BENCH_CACHE"] = str(folder / "cache")
    card = own_card(data)
    dataset = open_dataset(card)
    parts = ("train", "validation", "test")
    sizes = [
        len(subset(dataset, name, tuple(card.classes), part).rows) for name in card.domains for part in parts
    ]
    assert sum(sizes) == count
    assert len(dataset.decoded("domain0", size)) == count // 2


@dataclass(frozen=True)
class Cost:
    """Something to measure, at sizes that grow; `made` names what it is measured on."""

    run: Callable[[Path, int], None]
    sizes: tuple[int, ...]
    made: str = ""


MAKERS = {
    "records": make_records,
    "methods": make_methods,
    "items": make_items,
    "texts": make_texts,
    "rows": make_rows,
    "": make_nothing,
}
RECORDS = (1_000, 10_000, 100_000)
COSTS = {
    "missing": Cost(missing, RECORDS, "records"),
    "listing": Cost(listing, RECORDS, "records"),
    "baseline": Cost(baseline, (1_000, LARGEST_BASELINE), "records"),
    "compare": Cost(compare, RECORDS, "records"),
    "report": Cost(report, RECORDS, "records"),
    "serve": Cost(serve, (1_000, 10_000), "records"),
    "plan": Cost(plan, (10_000, 100_000, 1_000_000)),
    "methods": Cost(methods, (100, 1_000), "methods"),
    "items": Cost(items, (2_000, 20_000, 200_000), "items"),
    "items-again": Cost(items_again, (2_000, 20_000, 200_000), "items"),
    "texts": Cost(texts, RECORDS, "texts"),
    "rows": Cost(rows, RECORDS, "rows"),
}


def made(folder: Path, what: str, count: int) -> Path:
    """Folder of what is measured on, made unless it is there."""
    place = folder / f"{what or 'nothing'}-{count}"
    if not (place / "made").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        MAKERS[what](place, count)
        (place / "made").touch()
    return place


def one(name: str, count: int, place: Path, profiled: bool) -> None:
    """Measure one thing in this process: seconds of a processor, and GiB."""
    profile = cProfile.Profile()
    before = _used()
    if profiled:
        profile.runcall(COSTS[name].run, place, count)
    else:
        COSTS[name].run(place, count)
    spent = _used() - before
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    if profiled:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    print(f"{spent:.3f} {peak / 2**20:.3f}", flush=True)


def _used() -> float:
    """Seconds of a processor of this process and of those that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def table(names: list[str], most: int, folder: Path, profiled: bool) -> None:
    """Measure and print."""
    print("| what | size | s of a processor | × | GiB |\n| --- | ---: | ---: | ---: | ---: |", flush=True)
    for name in names:
        before: float | None = None
        for count in (size for size in COSTS[name].sizes if size <= most):
            place = made(folder, COSTS[name].made, count)
            command = [
                sys.executable,
                "-m",
                "tests.speed.growth",
                name,
                "--one",
                str(count),
                "--folder",
                str(place),
            ]
            command += ["--profile"] if profiled else []
            said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
            seconds, memory = map(float, said.pop().split())
            growth = "" if before is None else f"{seconds / before:.1f}"
            print(
                "\n".join([*said, f"| {name} | {count:,} | {seconds:.2f} | {growth} | {memory:.2f} |"]),
                flush=True,
            )
            before = seconds


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COSTS))
    parser.add_argument("--most", type=int, default=1_000_000, help="largest size")
    parser.add_argument("--folder", type=Path, help="where to make and keep what is measured on")
    parser.add_argument("--profile", action="store_true", help="print cProfile's tables too")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if unknown := {*said.names} - {*COSTS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if said.one:
        one(said.names[0], said.one, said.folder, said.profile)
        return
    with tempfile.TemporaryDirectory() as temporary:
        table(said.names or [*COSTS], said.most, said.folder or Path(temporary), said.profile)


if __name__ == "__main__":
    main()
