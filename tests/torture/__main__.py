"""`make torture`: kill, crowd, fill up and confuse a run, and print what came of it."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from tests.torture.disks import full_disk, read_only, small_disk
from tests.torture.kills import Found, quick_storm, real_storm
from tests.torture.sharing import share

Row = tuple[str, str, str, bool]
"""What was done, how often, what was found, and whether that is as it should be."""


def kills(folder: Path, count: int) -> list[Row]:
    """Cells that take no time."""
    found = quick_storm(folder, count)
    return [
        ("SIGKILL of a worker or its parent, cells without training", f"{found.kills} kills", *_said(found))
    ]


def kills_in_training(folder: Path, count: int) -> list[Row]:
    """Cells that train and keep checkpoints."""
    from tests.support.cells import answer
    from tests.torture.often import cells

    wanted = [answer(cell, folder / "undisturbed") for cell in cells()]
    found = real_storm(folder, count, wanted)
    return [("SIGKILL within training, resumed from checkpoints", f"{found.kills} kills", *_said(found))]


def _said(found: Found) -> tuple[str, bool]:
    return (
        f"{found.records} records, {found.acknowledged} acknowledged: {found.lost} lost, "
        f"{found.duplicated} duplicated, {found.corrupt} corrupt, {found.differing} unlike the undisturbed, "
        f"{found.stray} stray files after gc",
        found.harm == 0,
    )


def crowd(folder: Path, processes: int, cells: int) -> list[Row]:
    """Several processes on one folder."""
    done, again = share(folder / "crowd", processes, cells)
    said = f"{done} cells done, {again} worked on twice"
    return [(f"{processes} processes on one folder", f"{cells} cells", said, (done, again) == (cells, 0))]


def pairs(folder: Path, rounds: int) -> list[Row]:
    """Every pair of commands on one results folder, both killed."""
    from tests.torture.pairs import PAIRS, together

    found = []
    for number in range(rounds * len(PAIRS)):
        pair = PAIRS[number % len(PAIRS)]
        try:
            together(folder / str(number), pair, seed=number)
        except AssertionError as error:
            found.append(f"{' + '.join(pair)}: {error}"[:200])
    what, count = "two commands on one folder, both killed", f"{len(PAIRS)} pairs, {rounds} times each"
    return [(what, count, "; ".join(found) or "nothing lost, torn or left over", not found)]


def faults(folder: Path, points: int) -> list[Row]:
    """Faults at calls of input and output, of every command that writes."""
    from tests.torture.faults import strike

    rows: list[Row] = []
    total = harmed = 0
    for row in strike(folder, (), points):
        total += row.points
        harmed += bool(row.harms)
        said = ", ".join(f"{count} {harm}" for harm, count in row.harms.items()) or "nothing is wrong"
        print(f"{row.verb}: {row.kind}: {row.points} points, {said}", *row.examples, sep="\n  ", flush=True)
        rows.append((f"{row.verb}: {row.kind}", f"{row.points} of {row.calls} calls", said, not row.harms))
    return [*rows, ("input and output, in all", f"{total} points", f"{harmed} rows with faults", not harmed)]


def fuzz(cases: int) -> list[Row]:
    """Nonsense and malice."""
    from tests.torture.fuzz import TARGETS

    rows = []
    for name, target in TARGETS.items():
        print(f"fuzzing: {name}", flush=True)
        try:
            rows.append((f"fuzzing: {name}", f"{target(cases)} cases", "0 tracebacks", True))
        except Exception as error:
            rows.append((f"fuzzing: {name}", "?", f"{type(error).__name__}: {error}"[:300], False))
    return rows


def disks(folder: Path) -> list[Row]:
    """Full and read-only."""
    with small_disk(folder / "probe", 100) as possible:
        pass
    if not possible:
        return [("full and read-only disk", "-", "not tried: this user may not mount a file system", True)]
    whole, said = full_disk(folder / "full")
    refused = read_only(folder / "read-only")
    return [
        (
            "full disk (tmpfs of 200 KiB)",
            "1",
            f"{whole} records whole, then: {said}",
            "No space left" in said,
        ),
        ("read-only disk", "1", refused, "Read-only" in refused),
    ]


def main() -> None:
    """Run all of it, or the parts that are named."""
    parts = {
        "kills": lambda folder, a: kills(folder, a.kills),
        "training": lambda folder, a: kills_in_training(folder, max(1, a.kills // 10)),
        "crowd": lambda folder, a: crowd(folder, a.processes, a.cells),
        "pairs": lambda folder, a: pairs(folder, a.rounds),
        "disks": lambda folder, a: disks(folder),
        "faults": lambda folder, a: faults(folder, a.points),
        "fuzz": lambda folder, a: fuzz(a.cases),
    }
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; default: all")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=20, help="of each pair of commands")
    parser.add_argument("--cases", type=int, default=350, help="of each kind of input")
    parser.add_argument("--points", type=int, default=12, help="calls of each command and kind of fault")
    asked = parser.parse_args()
    console = Console(width=150)
    table = Table("what", "how often", "found", "as it should", box=box.SIMPLE_HEAD)
    bad = 0
    for name in asked.parts or parts:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            rows = parts[name](Path(folder), asked)
        for what, count, found, good in rows:
            bad += not good
            table.add_row(what, count, found, "yes" if good else "NO")
        console.print(f"{name}: {time.monotonic() - began:.0f} s", style="dim")
    console.print(table)
    raise SystemExit(bad > 0)


if __name__ == "__main__":
    main()
