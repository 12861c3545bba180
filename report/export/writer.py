"""Writer of all tables and figures into one folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.core.files import read_bounded, write_atomically
from bench.report.export.figures import drawings, printed
from bench.report.export.formats import TABLE_FORMATS
from bench.report.export.results import Results
from bench.report.export.tables import TABLES
from bench.report.tables.completeness import Completeness


def export(frame: pd.DataFrame, folder: Path, baseline: str, source_alone: str) -> tuple[int, int]:
    """Write every table to `folder/tables` and every figure to `folder/figures`; returns how many of each.

    The same frame gives the same files. Tables without a row and figures with nothing to draw are left out.
    `folder/files.txt` lists what there is; files that an earlier export listed and this one lacks go.

    Args:
        frame: that of `bench.report.scores.frame.load_frame`.
        baseline: the method that gains are over.
        source_alone: the method that is the source stage alone, for negative transfer at 0 shots.

    Raises:
        OSError: the folder cannot be written.
    """
    results = Results.of(frame, baseline, source_alone)
    completeness = Completeness.of(frame)
    # In the title of each: a table is copied alone.
    note = f" ({completeness.short})" if completeness.missing else ""
    made = [make(results) for make in TABLES]
    tables = [replace(table, title=f"{table.title}{note}") for table in made if len(table.data)]
    files = Files(folder)
    for table in tables:
        for suffix, write in TABLE_FORMATS.items():
            files.write(f"tables/{table.name}{suffix}", write(table))
    figures = 0
    for name, figure in drawings(results):
        figures += 1
        for suffix, content in printed(figure).items():
            files.write(f"figures/{name}{suffix}", content)
    files.conclude()
    return len(tables), figures


LIST = "files.txt"
"""List of the files of an export."""
LARGEST_LIST = 2**24
"""Most bytes of such a list."""
OURS = re.compile(r"(tables|figures)/[^/]+")


class Files:
    """Files of a folder, listed in one of them before they are written."""

    def __init__(self, folder: Path) -> None:
        """Read what an earlier export has listed; `OSError` where that cannot be read."""
        self._folder = folder
        self._written: list[str] = []
        try:
            listed = read_bounded(folder / LIST, LARGEST_LIST).decode(errors="replace").splitlines()
        except FileNotFoundError:
            listed = []
        self._earlier = [name for name in listed if OURS.fullmatch(name)]

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the folder."""
        if name not in self._earlier:
            self._earlier.append(name)
            self._list(self._earlier)
        write_atomically(self._folder / name, content)
        self._written.append(name)

    def conclude(self) -> None:
        """Remove what was listed and has not been written."""
        for name in {*self._earlier} - {*self._written}:
            (self._folder / name).unlink(missing_ok=True)
        self._list(self._written)

    def _list(self, names: Sequence[str]) -> None:
        write_atomically(self._folder / LIST, "".join(f"{name}\n" for name in sorted(names)).encode())
