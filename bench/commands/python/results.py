"""Results for scripts and notebooks: records as frames, tables and a page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path

import pandas as pd

from bench.commands.python.environment import with_own_data
from bench.core.text import counted
from bench.data.objects import OwnData
from bench.records.baselines import open_results
from bench.report.scores.frame import OBJECTS, STATUSES, load_frame
from bench.spec.cell import Cell


def load_results(path: str) -> pd.DataFrame:
    """Load the records of a results folder; see `bench.load_results`."""
    return load_frame(open_results(os.path.expanduser(path)), per_image=False).drop(columns=list(OBJECTS))


@dataclass(frozen=True)
class Results:
    """What became of a suite's cells; shown as tables in a notebook."""

    folder: Path
    """Results folder, which `bench report`, `bench compare` and the others take."""
    baseline: str
    """Method that gains are over."""
    cells: tuple[Cell, ...] = field(repr=False)
    data: OwnData | None = field(default=None, repr=False)
    """One's own items that were asked about."""

    @cached_property
    def _records(self) -> pd.DataFrame:
        return load_frame(open_results(str(self.folder)), self.cells, per_image=False)

    def frame(self) -> pd.DataFrame:
        """Tidy frame with a row per cell of the suite, columns as of `bench.load_results`.

        `status` is `done`, `skipped`, `failed`, `unreadable` or `missing`, `reason` says why.
        """
        return self._records.drop(columns=list(OBJECTS))

    def leaderboard(self) -> pd.DataFrame:
        """Frame with a row per method, `kind` and `shots`, the most accurate first.

        Accuracy, its 95 % interval and the gain over the baseline are in percent and points, over the cells
        that all methods share; `seconds` are those of a cell alone, `memory` is in MiB.
        """
        return self._table.data.copy()

    def report(self, out: str | Path | None = None) -> Path:
        """Build the page, by default `report.html` in the folder, and return its path.

        Args:
            out: a file that ends in `.html`, or `.md` for tables alone.

        Raises:
            bench.core.errors.UserError: `out` ends otherwise, or cannot be written.
        """
        from bench.commands.results.report import build

        with with_own_data(self.data):
            return build(str(self.folder), None if out is None else os.path.expanduser(out))

    @cached_property
    def _table(self):  # type: ignore[no-untyped-def]
        # Late, since what draws takes seconds to load.
        from bench.commands.results.report import SOURCE_ALONE
        from bench.report.export.per_scenario import leaderboard
        from bench.report.export.results import Results as Exported

        return leaderboard(Exported.of(self._records, self.baseline, SOURCE_ALONE))

    def _lines(self) -> Iterator[str]:
        """What became of the cells, and why some are not done."""
        counts = self._records["status"].value_counts()
        said = ", ".join(f"{counts[status]} {status}" for status in STATUSES if status in counts)
        yield f"{self.folder}: {counted(len(self._records), 'cell')}, {said}"
        faults = self._records[self._records["status"].isin(("failed", "unreadable"))]
        for method, reason in zip(faults["method"], faults["reason"], strict=True):
            yield f"{method}: {reason}"

    def __repr__(self) -> str:
        """Tables as text."""
        parts = [f"{title}\n{rows.to_string(index=False)}" for title, rows in self._table.parts()]
        return "\n\n".join(["\n".join(self._lines()), *parts])

    def _repr_html_(self) -> str:
        """Tables for a notebook."""
        lines = "<br>".join(map(escape, self._lines()))
        parts = [
            f"<h4>{escape(title)}</h4>{rows.to_html(index=False, escape=True, border=0)}"
            for title, rows in self._table.parts()
        ]
        return f"<p>{lines}</p>{''.join(parts)}"
