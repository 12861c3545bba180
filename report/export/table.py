"""A table of the report as data, and the same as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.scores.bootstrap import Interval
from bench.report.tables import formats
from bench.report.tables.leaderboard import Block

LOW, HIGH = "_low", "_high"
"""Endings of the two columns that bound the column before them; text writes them as one."""


def plain(value: Any) -> str:
    """Text as it is, numbers as short as they go, a dash for what is not known."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return formats.DASH
    return f"{value:g}" if isinstance(value, float) else str(value)


Write = Callable[[Any], str]
"""How a column's values are written."""


@dataclass(frozen=True)
class Table:
    """One table.

    data: columns of numbers or text; those of tables by block begin with `kind` and `shots`.
    write: how text writes the columns that it shows, in order, by name.
    by_block: whether text is cut into a part per transfer kind and shots.
    """

    name: str
    title: str
    data: pd.DataFrame
    write: Mapping[str, Write]
    by_block: bool = True

    def parts(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """The table as text under its titles, a part per block; columns that say nothing are left out."""
        if not self.by_block:
            yield self.title, self._text(self.data)
            return
        for (kind, shots), rows in self.data.groupby(["kind", "shots"], sort=False):
            title = f"{self.title}: {Block(str(kind), str(shots)).title}"
            yield title, self._text(rows.drop(columns=["kind", "shots"]).dropna(axis=1, how="all"))

    def numeric(self, column: str) -> bool:
        """Whether a column of the text is to be aligned as numbers are."""
        return self.write.get(column, plain) is not plain

    def _text(self, rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.astype(object).where(rows.notna(), None)
        columns = {}
        for name in [name for name in self.write if name in rows]:
            write, stem = self.write[name], name.removesuffix(LOW)
            if stem != name:
                pairs = zip(rows[name], rows[stem + HIGH], strict=True)
                signed = write is formats.points
                columns[f"{stem}, 95 %"] = [formats.interval(_interval(*pair), signed) for pair in pairs]
            else:
                columns[name] = [write(value) for value in rows[name]]
        return pd.DataFrame(columns, dtype=object)


def _interval(low: Any, high: Any) -> Interval | None:
    return Interval(low, high) if formats.known(low) and formats.known(high) else None


def table(
    name: str,
    title: str,
    columns: Mapping[str, Write],
    rows: Iterable[Sequence[Any]],
    *,
    by_block: bool = True,
) -> Table:
    """A table of rows: one value for each of `columns`, after kind and shots if it is a table by block."""
    names = [*(("kind", "shots") if by_block else ()), *columns]
    data = pd.DataFrame(list(rows), columns=names)
    for column, write in columns.items():
        if write is not plain:
            # A column without any number would be of objects, which no two formats write alike.
            values = data[column].astype(float)
            whole = write is formats.count and (values.dropna() % 1 == 0).all()
            data[column] = values.astype("Int64") if whole else values
    return Table(name, title, data, {n: w for n, w in columns.items() if not n.endswith(HIGH)}, by_block)


def bounds(interval: Interval | None) -> tuple[float | None, float | None]:
    """Low and high as two values."""
    return (interval.low, interval.high) if interval else (None, None)
