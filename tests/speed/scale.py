"""What a results folder of many records costs: `python -m tests.speed.scale [RECORDS] [FOLDER]`.

Makes two folders of synthetic records, which differ in one method's accuracy, and prints seconds and memory
of looking up what is missing, of listing all records and of comparing the two, each in a process of its own;
and of listing a tenth of them as a baseline.
"""

from __future__ import annotations

import hashlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice, product
from pathlib import Path

from safetensors.numpy import save

from bench.records.archive import replace_archives, to_zip
from bench.records.codec import encode
from bench.records.store import Store
from bench.spec.cell import Cell

METHODS = 10
SEEDS = 5
SHOTS = (0, 1, 5, "all")


def cells(count: int) -> Iterator[Cell]:
    """Different questions: methods, shots, seeds, then domains without end."""
    from tests.report.synthetic import cell

    def pairs() -> Iterator[tuple[str, str]]:
        number = 0
        while True:
            yield f"domain{number}", f"domain{number + 1}"
            number += 2

    everything = (
        cell(f"method{method}", source, target, shots, seed)
        for source, target in pairs()
        for method, shots, seed in product(range(METHODS), SHOTS, range(SEEDS))
    )
    return islice(everything, count)


def fill(root: Path, count: int, worse: int) -> None:
    """Records of `count` cells; those of the first method are right on `worse` images fewer."""
    from tests.report.synthetic import predictions, record

    blobs = {}
    for right in (30, 30 - worse):
        blob = save(predictions({0: range(right), 1: range(right)}))
        blobs[right] = blob, hashlib.sha256(blob).hexdigest()
    store = Store(root)
    for cell in cells(count):
        blob, digest = blobs[30 - worse if cell.method == "method0" else 30]
        made = record(cell).model_copy(update={"predictions_sha256": digest})
        path = store.path(made.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not through the store, which waits for the disk after each.
        path.write_bytes(encode(made))
        path.with_suffix(f".{digest[:16]}.safetensors").write_bytes(blob)


def pack(root: Path, target: Path, count: int) -> None:
    """Archives as of a baseline with the first `count` records of a folder."""
    archives: dict[str, dict[str, bytes]] = {}
    for cell in islice(cells(count), count):
        for path in Store(root).path(cell.key).parent.glob(f"{cell.key}.*"):
            place = f"records/{cell.key[:2]}/{cell.key}{path.suffix}"
            archives.setdefault(f"{cell.method}.zip", {})[place] = path.read_bytes()
    replace_archives(target, {name: to_zip(members) for name, members in archives.items()})


def missing(base: Path, new: Path, count: int) -> None:
    """What `bench run` asks before anything runs, all being there."""
    from tests.report.synthetic import record

    asked = list(cells(count))
    digests = {cell.method: record(cell).digests for cell in asked[: METHODS * SEEDS * len(SHOTS)]}
    began = time.perf_counter()
    todo, _ = Store(base).missing(asked, digests)
    print(f"(of which {time.perf_counter() - began:.1f} s in Store.missing) ", end="")
    assert not todo


def listing(base: Path, new: Path, count: int) -> None:
    """What every command that reads a folder begins with."""
    from bench.report.scores.frame import load_frame

    assert len(load_frame(Store(base), per_image=False)) == count


def baseline(base: Path, new: Path, count: int) -> None:
    """Reading a baseline, an archive for each method."""
    from bench.report.scores.frame import load_frame

    assert len(load_frame(Store(base.with_name("baseline")), per_image=False)) == count // 10


def compare(base: Path, new: Path, count: int) -> None:
    """`bench compare`."""
    from bench.report.regression.compare import compare

    assert compare(Store(base), Store(new)).cells


WHAT: dict[str, Callable[[Path, Path, int], None]] = {
    "missing": missing,
    "missing again": missing,
    "listing": listing,
    "baseline of a tenth": baseline,
    "compare": compare,
}


def main(count: int, folder: Path) -> None:
    """Make the folders, unless they are there, and measure."""
    done = folder / f"made-{count}"
    base, new = folder / "base", folder / "new"
    if not done.exists():
        began = time.perf_counter()
        for root, worse in ((base, 0), (new, 6)):
            shutil.rmtree(root, ignore_errors=True)
            fill(root, count, worse)
        pack(base, folder / "baseline", count // 10)
        done.touch()
        print(f"made 2 x {count} records in {time.perf_counter() - began:.0f} s", flush=True)
    for name in WHAT:
        command = [sys.executable, "-m", "tests.speed.scale", "--one", name, str(count), str(folder)]
        subprocess.run(command, check=True)


def one(name: str, count: int, folder: Path) -> None:
    """Measure one thing in this process."""
    print(f"{name}: ", end="", flush=True)
    began, processor = time.perf_counter(), time.process_time()
    WHAT[name](folder / "base", folder / "new", count)
    seconds, busy = time.perf_counter() - began, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{seconds:.1f} s, {busy:.1f} s of a processor, {peak:.2f} GiB at most", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
        if len(sys.argv) > 2:
            main(number, Path(sys.argv[2]))
        else:
            with tempfile.TemporaryDirectory() as temporary:
                main(number, Path(temporary))
