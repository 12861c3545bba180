"""Writer of all tables and figures into one folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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
    files = {
        f"tables/{table.name}{suffix}": write(table)
        for table in tables
        for suffix, write in TABLE_FORMATS.items()
    }
    figures = 0
    for name, figure in drawings(results):
        figures += 1
        files |= {f"figures/{name}{suffix}": content for suffix, content in printed(figure).items()}
    _write(folder, files)
    return len(tables), figures


LIST = "files.txt"
"""List of the files of an export."""
LARGEST_LIST = 2**24
"""Most bytes of such a list."""
OURS = re.compile(r"(tables|figures)/[^/]+")


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files of a folder by name; what is listed there of an earlier export and not among them goes.

    What is interrupted is listed in full, and so is concluded by the next one.
    """
    try:
        listed = read_bounded(folder / LIST, LARGEST_LIST).decode(errors="replace").splitlines()
    except FileNotFoundError:
        listed = []
    gone = {name for name in listed if OURS.fullmatch(name)} - files.keys()
    _list(folder, {*files, *gone})
    for name, content in files.items():
        write_atomically(folder / name, content)
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    if gone:
        _list(folder, files)


def _list(folder: Path, names: Iterable[str]) -> None:
    write_atomically(folder / LIST, "".join(f"{name}\n" for name in sorted(names)).encode())
