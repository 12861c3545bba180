"""Writer of all tables and figures into one folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.core.files import write_atomically
from bench.report.export.figures import drawings, printed
from bench.report.export.formats import TABLE_FORMATS
from bench.report.export.results import Results
from bench.report.export.tables import TABLES
from bench.report.tables.completeness import Completeness


def export(frame: pd.DataFrame, folder: Path, baseline: str, source_alone: str) -> tuple[int, int]:
    """Write every table to `folder/tables` and every figure to `folder/figures`; returns how many of each.

    The same frame gives the same files. Tables without a row and figures with nothing to draw are left out; a
    file of such a table from an earlier export goes.

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
    for table in tables:
        for suffix, write in TABLE_FORMATS.items():
            write_atomically(folder / "tables" / f"{table.name}{suffix}", write(table))
    for name in {table.name for table in made} - {table.name for table in tables}:
        for suffix in TABLE_FORMATS:
            (folder / "tables" / f"{name}{suffix}").unlink(missing_ok=True)
    figures = 0
    for name, figure in drawings(results):
        figures += 1
        for suffix, content in printed(figure).items():
            write_atomically(folder / "figures" / f"{name}{suffix}", content)
    return len(tables), figures
