"""Table of the report as data and as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.core.text import visible
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
"""Writes a column's values."""


@dataclass(frozen=True)
class Table:
    """Table as data and as text.

    data: columns of numbers or text; those of tables by block begin with `kind` and `shots`.
    write: how text writes the columns that it shows, in order, by name.
    blocks: of a table by block, whose text is cut into a part for each.
    """

    name: str
    title: str
    data: pd.DataFrame
    write: Mapping[str, Write]
    blocks: tuple[Block, ...] | None = None

    def parts(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Parts of the table as text under their titles, one per block, without empty columns."""
        if self.blocks is None:
            yield self.title, self._text(self.data)
            return
        for block in self.blocks:
            rows = block.of(self.data).drop(columns=["kind", "shots"]).dropna(axis=1, how="all")
            yield f"{self.title}: {block.title}", self._text(rows)

    def numeric(self, column: str) -> bool:
        """True where a column of the text is to be aligned as numbers are."""
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


def table(name: str, title: str, columns: Mapping[str, Write], rows: Iterable[Sequence[Any]]) -> Table:
    """Table of rows with one value for each of `columns`."""
    data = pd.DataFrame(list(rows), columns=[*columns])
    return Table(name, title, _typed(data, columns), _shown(columns))


def table_by_block(
    name: str, title: str, columns: Mapping[str, Write], rows: Iterable[Sequence[Any]]
) -> Table:
    """Table by block of rows with their block and one value for each of `columns`."""
    known = [(block, block.kind, block.shots, *values) for block, *values in rows]
    data = pd.DataFrame(known, columns=["block", "kind", "shots", *columns])
    blocks = tuple(dict.fromkeys(data.pop("block")))
    return Table(name, title, _typed(data, columns), _shown(columns), blocks)


def _typed(data: pd.DataFrame, columns: Mapping[str, Write]) -> pd.DataFrame:
    for column, write in columns.items():
        if write is not plain:
            # A column without any number would be of objects, which no two formats write alike.
            values = data[column].astype(float)
            whole = write is formats.count and (values.dropna() % 1 == 0).all()
            data[column] = values.astype("Int64") if whole else values
        else:
            data[column] = data[column].map(visible)
    return data


def _shown(columns: Mapping[str, Write]) -> dict[str, Write]:
    return {name: write for name, write in columns.items() if not name.endswith(HIGH)}


def bounds(interval: Interval | None) -> tuple[float | None, float | None]:
    """Low and high as two values."""
    return (interval.low, interval.high) if interval else (None, None)
