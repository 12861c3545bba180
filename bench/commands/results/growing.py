"""Page of a suite that grows while its cells run.

It is built where cells end, in the process that hands them out, so that it takes no processor from a cell
that is being timed; each build is followed by a pause of many times its length.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

from bench.commands.results.report import build_page
from bench.core.errors import UserError
from bench.core.paths import shown_path
from bench.records.record import Record
from bench.records.store import Store
from bench.spec.cell import Cell, Scenario
from bench.spec.matrix.suite import Suite

PAUSE = 20.0
"""Pause between two builds, in lengths of a build: no worker waits for more than a twentieth of its time."""
SOON = 10.0
"""Seconds before the first build: a run that is over by then has its whole page as soon."""
MOST_CELLS = 1000
"""Most cells of a page that grows; one of more takes long to build."""


class GrowingPage:
    """Page of a results folder, built soon after two methods can be compared, and now and then after that."""

    def __init__(self, store: Store, suite: Suite, cells: Sequence[Cell], todo: Sequence[Cell]) -> None:
        """`cells` are the suite's, `todo` those of them that are about to run."""
        self._store, self._suite, self._cells = store, suite, cells
        self._left = {cell.key for cell in todo}
        self._answered: dict[Scenario, set[str]] = defaultdict(set)
        asked: dict[Scenario, set[str]] = defaultdict(set)
        for cell in cells:
            asked[cell.scenario].add(cell.method)
            if cell.key not in self._left:
                self._answered[cell.scenario].add(cell.method)
        self._enough = min(2, max(map(len, asked.values())))
        """Methods that one question must have answers of."""
        self._due = time.monotonic() + SOON if len(cells) <= MOST_CELLS else float("inf")
        self._shown = False

    def ended(self, record: Record) -> str:
        """Note that a cell has ended, and build the page if it is time; returns what is to be said of it."""
        self._left.discard(record.key)
        if record.outcome.status == "done":
            self._answered[record.request.cell.scenario].add(record.request.cell.method)
        began = time.monotonic()
        # The last cell is followed by the whole page.
        if (
            not self._left
            or began < self._due
            or max(map(len, self._answered.values()), default=0) < self._enough
        ):
            return ""
        try:
            page = build_page(self._store, self._suite, self._cells, quietly=True)
            said = "" if self._shown else f"report so far: {shown_path(page)}, written anew as cells end"
            self._shown = True
        except UserError as error:
            said = f"no report so far: {error}"
        ended = time.monotonic()
        self._due = ended + PAUSE * (ended - began)
        return said
