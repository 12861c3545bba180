"""Tables of items: CSV or parquet with named columns, read row by row as text."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bench.core.errors import UserError
from bench.core.files import open_regular
from bench.data.sources.base import SPLIT_NAMES
from bench.data.sources.parquet import check_rows, column_values, open_shard

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

DELIMITERS = ",;\t"

MOST_BYTES = 2**30
"""Largest table in bytes."""

MOST_CHARACTERS = 2**16
"""Longest line or cell of a table."""

Rows = Iterator[tuple[int, dict[str, str]]]

OTHER_NAMES = {
    "path": ("filename", "file", "file_name", "filepath", "file_path", "image", "image_path", "img_path"),
    "text": ("sentence", "review", "content", "body"),
    "domain": ("domain_name", "site", "style"),
    "label": ("class", "class_name", "label_name", "category", "category_name"),
    "group": ("group_id", "patient", "patient_id"),
    "split": ("subset", "partition"),
}
"""Other names under which tables hold the columns; of all names of one, a table has one."""


@dataclass(frozen=True)
class Columns:
    """Columns of a table."""

    item: str
    """Column that holds the items, or where they are."""
    may_be_empty: tuple[str, ...] = ()

    @property
    def required(self) -> tuple[str, ...]:
        """Columns without which it is no such table."""
        return (self.item, "domain", "label")

    @property
    def all(self) -> tuple[str, ...]:
        """Those, and the others that are read."""
        return (*self.required, "group", "split")


IMAGES, TEXTS = Columns("path"), Columns("text", ("text",))


def read_table(file: Path, columns: Columns) -> Rows:
    """Read the rows with their lines, every column as text, `group` and `split` empty where not given.

    Raises:
        UserError: unreadable or too large, a column is missing or there twice, a cell empty or no split.
    """
    read = _parquet if file.suffix.lower() == ".parquet" else _csv
    for count, (number, text) in enumerate(read(file, columns), 1):
        for name in columns.required:
            if not text[name] and name not in columns.may_be_empty:
                raise UserError(f"{file}, line {number}: '{name}' is empty")
        split = text["split"].lower()
        if split and split not in SPLIT_NAMES:
            raise UserError(
                f"{file}, line {number}: split '{text['split']}': train, validation, test or empty"
            )
        check_rows(file, count)
        yield number, {**text, "split": SPLIT_NAMES.get(split, "")}


def holds(file: Path, columns: Columns) -> bool:
    """Return True if a table has the column of these items, by any of its names.

    Raises:
        UserError: the table cannot be read.
    """
    if file.suffix.lower() == ".parquet":
        with open_shard(file) as shard:
            header = list(shard.schema_arrow.names)
    else:
        header = _header(file)
    return columns.item in _columns(header, columns)


def _csv(file: Path, columns: Columns) -> Rows:
    """Read the rows of a CSV, whose delimiter is the one that its first line shows most columns by."""
    try:
        with open_regular(file) as content:
            if file.stat().st_size > MOST_BYTES:
                raise UserError(f"refused: {file} has more than {MOST_BYTES >> 30} GiB")
            text = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
            first = text.readline(MOST_CHARACTERS)
            if not first.strip():
                raise UserError(f"cannot read the table {file}: its first line names no column")
            delimiter, _ = _best(first, columns)
            text.seek(0)
            before = csv.field_size_limit(MOST_CHARACTERS)
            try:
                lines = _cells(text, delimiter)
                _, header = next(lines)
                places = _required(file, header, columns)
                for number, cells in lines:
                    if any(cells[len(header) :]):
                        # As where a path has a comma: what comes behind it would be taken for other columns.
                        raise UserError(
                            f"{file}, line {number}: {len(cells)} cells, but the first line names "
                            f"{len(header)} columns: put cells that hold '{delimiter}' in quotes"
                        )
                    if any(cells):
                        row = dict(enumerate(cell.strip() for cell in cells))
                        yield number, {name: row.get(at, "") for name, at in places.items()}
            finally:
                csv.field_size_limit(before)
    except UnicodeDecodeError:
        raise UserError(f"cannot read the table {file}: it is not UTF-8; save it as CSV UTF-8") from None
    except (OSError, csv.Error) as error:
        raise UserError(f"cannot read the table {file}: {error}") from None


def _cells(text: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with their last lines. A quote that nothing closes is an error: it would swallow rows behind it.

    Raises:
        csv.Error: with the row's first line.
    """
    lines = csv.reader(_lines(text), delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        first = lines.line_num + 1
        try:
            cells = next(lines, None)
        except csv.Error as error:
            raise csv.Error(
                f"line {first}: {error} (does a cell begin with a quote that it does not end with?)"
            ) from None
        if cells is None:
            return
        yield lines.line_num, cells


def _lines(text: TextIO) -> Iterator[str]:
    while line := text.readline(MOST_CHARACTERS + 1):
        if len(line) > MOST_CHARACTERS:
            raise csv.Error(f"a line has more than {MOST_CHARACTERS:,} characters")
        yield line


def _parquet(file: Path, columns: Columns) -> Rows:
    with open_shard(file) as shard:
        names = shard.schema_arrow.names
        places = _required(file, names, columns)
        values = {name: _cells_of(file, shard, names[at]) if at >= 0 else [] for name, at in places.items()}
        for row in range(shard.metadata.num_rows):
            yield row + 2, {name: _text(cells[row]) if cells else "" for name, cells in values.items()}


def _header(file: Path) -> list[str]:
    """First line of a CSV, whichever columns it names."""
    try:
        with open_regular(file) as content:
            first = io.TextIOWrapper(content, encoding="utf-8-sig", newline="").readline(MOST_CHARACTERS)
        return max((_best(first, columns)[1] for columns in (IMAGES, TEXTS)), key=len)
    except UnicodeDecodeError:
        raise UserError(f"cannot read the table {file}: it is not UTF-8; save it as CSV UTF-8") from None
    except (OSError, csv.Error) as error:
        raise UserError(f"cannot read the table {file}: {error}") from None


def _best(first: str, columns: Columns) -> tuple[str, list[str]]:
    """Delimiter and cells of a first line: of those that show most known columns, most of any."""
    headers = {mark: next(csv.reader([first], delimiter=mark), []) for mark in DELIMITERS}
    mark = max(headers, key=lambda mark: (len(_columns(headers[mark], columns)), len(headers[mark])))
    return mark, headers[mark]


def _columns(header: Sequence[str], columns: Columns) -> dict[str, int]:
    """Find the places of the known columns, whatever they are called."""
    names = [name.strip().lower() for name in header]
    return {
        column: names.index(name)
        for column in columns.all
        for name in [next((n for n in (column, *OTHER_NAMES[column]) if n in names), "")]
        if name
    }


def _required(file: Path, header: Sequence[str], columns: Columns) -> dict[str, int]:
    """Find the places of all columns, -1 for optional ones that are not there."""
    found = _columns(header, columns)
    for name in columns.all:
        claims = [text.strip() for text in header if text.strip().lower() in (name, *OTHER_NAMES[name])]
        if len(claims) > 1:
            raise UserError(
                f"{file} has {len(claims)} columns for '{name}' ({', '.join(claims)}): remove or rename all "
                "but one"
            )
    for name in columns.required:
        if name not in found:
            there = ", ".join(f"'{text.strip()[:40]}'" for text in header[:12])
            raise UserError(
                f"{file} has no column '{name}' (nor {', '.join(OTHER_NAMES[name])}), but {there}"
            )
    return {name: found.get(name, -1) for name in columns.all}


def _cells_of(file: Path, shard: ParquetFile, column: str) -> list[Any]:
    """Values of a column; bytes, as programs write that have no type of texts, are UTF-8.

    Raises:
        UserError: they are lists, structures, or bytes of something else.
    """
    import pyarrow as pa

    kind = shard.schema_arrow.field(column).type
    values = column_values(shard, column)
    if pa.types.is_nested(kind):
        raise UserError(f"{file}: column '{column}' holds {kind}, where a text or a number is read")
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return values
    try:
        return [None if value is None else value.decode() for value in values]
    except UnicodeDecodeError:
        raise UserError(f"{file}: column '{column}' holds bytes that are not UTF-8") from None


def _text(value: object) -> str:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if missing else str(value).strip()
