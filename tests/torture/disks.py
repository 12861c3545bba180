"""Disks that are full, and folders that cannot be written."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.core.errors import UserError
from bench.records import maintenance
from bench.records.store import Store
from tests.quick import quick_cell, run_quick


@contextlib.contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[bool]:
    """A file system of that size, where this user may mount one."""
    place.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=True)


def full_disk(place: Path) -> tuple[int, str]:
    """(records that were whole when the disk was full, what was said); afterwards the run goes on."""
    cells = [quick_cell(seed) for seed in range(100)]
    with small_disk(place, 200) as mounted:
        assert mounted
        root = place / "results"
        said = ""
        try:
            run_quick(root, cells)
        except UserError as error:
            said = str(error)
        store = Store(root)
        sound, faults = maintenance.check(store)
        assert not faults
        subprocess.run(["mount", "-o", "remount,size=8m", str(place)], check=True)
        run_quick(root, cells)
        assert maintenance.check(store) == (100, [])
        return sound, said


def read_only(place: Path) -> str:
    """What a run says of a folder on a disk that became read-only."""
    with small_disk(place, 1000) as mounted:
        assert mounted
        run_quick(place / "results", [quick_cell(0)])
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        try:
            run_quick(place / "results", [quick_cell(1)])
        except UserError as error:
            return str(error)
        return ""
