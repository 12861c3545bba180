"""Pages of the site, and the files beside them."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from bench.core.digest import combine
from bench.core.files import write_atomically
from bench.report.render.templates import asset, environment
from bench.report.scores.frame import OBJECTS, methods_only
from bench.report.scores.words import Words
from bench.report.tables.leaderboard import Leaderboard, Standing, leaderboards

FROM = "from"
"""Column with the name of the folder or submission that a row is of."""


@dataclass(frozen=True)
class Origin:
    """Folder, baseline or submission that records came from."""

    name: str
    by: str = ""
    """Who submitted them; empty: the site's owner."""
    reproduced: bool = False


@dataclass(frozen=True)
class SuiteResults:
    """Merged results of a suite; `frame` has a column `FROM`.

    edition: whether the suite is frozen, so that its numbers compare.
    """

    name: str
    about: str
    dataset: str
    baseline: str
    edition: bool
    frame: pd.DataFrame = field(repr=False)
    origins: Sequence[Origin]

    @property
    def page(self) -> str:
        """File of its page."""
        return f"suites/{slug(self.name)}.html"

    @property
    def table(self) -> str:
        """File of its rows."""
        return f"data/{slug(self.name)}.parquet"

    @cached_property
    def words(self) -> Words:
        """Words for its items and the metric that they are judged by."""
        return Words.of_frame(self.frame)

    @cached_property
    def boards(self) -> list[Leaderboard]:
        """Leaderboard of each kind and number of labels."""
        return leaderboards(methods_only(self.frame), self.baseline)

    def origins_of(self, method: str, board: Leaderboard) -> list[Origin]:
        """Where a method's rows of a leaderboard came from."""
        rows = board.block.of(self.frame)
        names = set(rows.loc[rows["method"] == method, FROM])
        return [origin for origin in self.origins if origin.name in names]


@dataclass(frozen=True)
class Described:
    """Method or dataset with what is said of it: facts by what they are about."""

    name: str
    facts: Mapping[str, str]

    def page(self, kind: str) -> str:
        """File of its page."""
        return f"{kind}/{slug(self.name)}.html"


def slug(name: str) -> str:
    """Name of a file for a name, the same only for the same."""
    plain = re.sub(r"[^A-Za-z0-9@._-]", "-", name).strip(".")[:80]
    return plain if plain == name else f"{plain}-{combine(name)[:6]}"


def build(
    suites: Sequence[SuiteResults], methods: Sequence[Described], datasets: Sequence[Described], out: Path
) -> list[Path]:
    """Write the site into a folder, and return its files; the same results give the same bytes.

    Raises:
        OSError: it cannot be written.
    """
    pages = environment()
    pages.globals |= {"css": asset("site.css"), "slug": slug}
    known = {"methods": {each.name for each in methods}, "datasets": {each.name for each in datasets}}

    def written(template: str, root: str, **values: object) -> bytes:
        text = pages.get_template(template).render(root=root, known=known, **values)
        return text.encode()

    files = {"index.html": written("site-index.html", "", suites=suites, methods=methods, datasets=datasets)}
    for suite in suites:
        files[suite.page] = written("site-suite.html", "../", suite=suite)
        files[suite.table] = _parquet(suite.frame)
    for method in methods:
        rows = _standings(suites, method.name)
        files[method.page("methods")] = written("site-method.html", "../", method=method, rows=rows)
    for dataset in datasets:
        mine = [suite for suite in suites if suite.dataset == dataset.name]
        files[dataset.page("datasets")] = written("site-dataset.html", "../", dataset=dataset, suites=mine)
    for name, content in files.items():
        write_atomically(out / name, content)
    return [out / name for name in files]


def _standings(
    suites: Sequence[SuiteResults], method: str
) -> list[tuple[SuiteResults, Leaderboard, Standing]]:
    """Standings of a method in all suites."""
    return [
        (suite, board, row)
        for suite in suites
        for board in suite.boards
        for row in board.rows
        if row.method == method
    ]


def _parquet(frame: pd.DataFrame) -> bytes:
    """Rows without what only this program reads, the same bytes for the same rows."""
    out = io.BytesIO()
    rows = frame.drop(columns=[name for name in OBJECTS if name in frame]).sort_values(["method", "key"])
    rows.reset_index(drop=True).to_parquet(out, index=False)
    return out.getvalue()
