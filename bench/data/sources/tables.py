"""Tables of items: CSV or parquet with named columns, read row by row as text."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bench.core.errors import UserError, did_you_mean
from bench.core.files import open_regular
from bench.core.paths import COLUMNS
from bench.data.sources.base import SPLIT_NAMES
from bench.data.sources.parquet import (
    check_rows,
    class_names,
    column_values,
    is_list,
    open_shard,
    parquet_files,
    split_of,
    table_title,
)

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

DELIMITERS = ",;\t"

MOST_BYTES = 2**30
"""Largest table in bytes."""

MOST_CHARACTERS = 2**16
"""Longest line or cell of a table."""

LONGEST_HEADER = 2**20
"""Most characters of a first line: rows may have thousands of columns."""

Rows = Iterator[tuple[int, dict[str, str]]]

OTHER_NAMES = {
    "path": ("filename", "file", "file_name", "filepath", "file_path", "image", "image_path", "img_path"),
    "text": ("sentence", "review", "content", "body"),
    "sequence": ("seq", "peptide", "peptide_sequence", "protein_sequence", "dna_sequence", "rna_sequence"),
    "domain": ("domain_name", "site", "style"),
    "label": ("class", "class_name", "label_name", "category", "category_name"),
    "group": ("group_id", "patient", "patient_id"),
    "split": ("subset", "partition"),
}
"""Other names under which tables hold the columns; of all names of one, a table has one."""


@dataclass(frozen=True)
class Columns:
    """Columns of a table that are more than numbers: what an item is, its class, and where it belongs."""

    item: str | None
    """Column that holds the items, or where they are; None where the rest of a row is the item."""
    may_be_empty: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    """What a table calls some of them, where its owner says so."""
    alone: str = ""
    """Domain of all items of a table that has no column of them; empty: it needs one."""

    @property
    def required(self) -> tuple[str, ...]:
        """Columns without which it is no such table."""
        domain = () if self.alone else ("domain",)
        return (*([self.item] if self.item else []), *domain, "label")

    @property
    def all(self) -> tuple[str, ...]:
        """Those, and the others that are read."""
        return tuple(dict.fromkeys((*self.required, "domain", "group", "split")))

    def of(self, table: Path, named: Mapping[str, str]) -> Columns:
        """The same for one table, whose owner names some; of shards, one that may lack domains."""
        return replace(self, named=named, alone=table.stem if is_list(table) else "")


IMAGES, TEXTS, ROWS = Columns("path"), Columns("text", ("text",)), Columns(None)
SEQUENCES = Columns("sequence", ("sequence",))


def read_table(file: Path, columns: Columns) -> Rows:
    """Read the rows with their lines, every column as text, `group` and `split` empty where not given.

    Raises:
        UserError: unreadable or too large, a column is missing or there twice, a cell empty or no split.
    """
    check_alike(file, columns)
    shards, count = parquet_files(file), 0
    for part in shards or [file]:
        for number, text in _parquet(part, columns, is_list(file)) if shards else _csv(part, columns):
            for name in columns.required:
                if not text[name] and name not in columns.may_be_empty:
                    raise UserError(f"{part}, line {number}: '{name}' is empty")
            split = text["split"].lower()
            if split and split not in SPLIT_NAMES:
                raise UserError(
                    f"{part}, line {number}: split '{text['split']}': train, validation, test or empty"
                )
            count += 1
            check_rows(file, count)
            yield number, {**text, "split": SPLIT_NAMES.get(split, "")}


def header_of(table: Path) -> list[str]:
    """Names of the columns of a table.

    Raises:
        UserError: it cannot be read.
    """
    for file in parquet_files(table):
        with open_shard(file) as shard:
            return list(shard.schema_arrow.names)
    return max((read_header(table, each)[1] for each in (IMAGES, TEXTS, SEQUENCES)), key=len)


def item_column(header: Sequence[str], columns: Columns) -> str | None:
    """Column of a header that holds these items, by any of its names; None where it has none."""
    places = _columns(header, columns).get(columns.item or "")
    return header[places[0]] if places else None


def read_header(file: Path, columns: Columns) -> tuple[str, list[str]]:
    """Delimiter of a CSV and the cells of its first line, without spaces around them.

    The delimiter is the one that shows most of the known columns, of those the one that shows most of any.

    Raises:
        UserError: it cannot be read, is too large, or names no column.
    """
    with _readable(file), open_regular(file) as content:
        if file.stat().st_size > MOST_BYTES:
            raise UserError(f"refused: {file} has more than {MOST_BYTES >> 30} GiB")
        first = io.TextIOWrapper(content, encoding="utf-8-sig", newline="").readline(LONGEST_HEADER)
        if len(first) == LONGEST_HEADER:
            raise csv.Error(f"its first line has {LONGEST_HEADER:,} characters or more")
        if not first.strip():
            raise csv.Error("its first line names no column")
        headers = {mark: next(csv.reader([first], delimiter=mark), []) for mark in DELIMITERS}
        mark = max(headers, key=lambda mark: (len(_columns(headers[mark], columns)), len(headers[mark])))
    return mark, [name.strip() for name in headers[mark]]


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Turn what reading a CSV raises into one line."""
    try:
        yield
    except UnicodeDecodeError:
        raise not_utf8(file) from None
    except (OSError, csv.Error) as error:
        raise UserError(f"cannot read the table {file}: {error}") from None


def not_utf8(file: Path) -> UserError:
    """Error of a CSV in another encoding."""
    return UserError(f"cannot read the table {file}: it is not UTF-8; save it as CSV UTF-8")


def _csv(file: Path, columns: Columns) -> Rows:
    """Read the rows of a CSV."""
    delimiter, header = read_header(file, columns)
    places = find_columns(file, header, columns)
    with _readable(file), open_regular(file) as content:
        text = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
        before = csv.field_size_limit(MOST_CHARACTERS)
        try:
            lines = _cells(_lines(text, MOST_CHARACTERS), delimiter=delimiter, skipinitialspace=True)
            next(lines)
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


def check_quotes(file: Path, delimiter: str, longest: int) -> None:
    """Read a CSV of lines of so many characters at most, for its quotes alone.

    Raises:
        UserError: one is not closed, or not where its cell ends: another reader would go on without a word,
            and take the rows up to the next quote for one cell.
    """
    before = csv.field_size_limit(longest)
    try:
        with _readable(file), open_regular(file) as content:
            text = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
            for _ in _cells(_lines(text, longest), delimiter=delimiter):
                pass
    finally:
        csv.field_size_limit(before)


def _cells(lines: Iterator[str], **dialect: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows with their last lines. A quote that nothing closes is an error: it would swallow rows behind it.

    Raises:
        csv.Error: with the row's first line.
    """
    rows = csv.reader(lines, strict=True, **dialect)
    while True:
        first = rows.line_num + 1
        try:
            cells = next(rows, None)
        except csv.Error as error:
            raise csv.Error(
                f"line {first}: {error} (does a cell begin with a quote that it does not end with?)"
            ) from None
        if cells is None:
            return
        yield rows.line_num, cells


def _lines(text: TextIO, longest: int) -> Iterator[str]:
    while line := text.readline(longest + 1):
        if len(line) > longest:
            raise csv.Error(f"a line has more than {longest:,} characters")
        yield line


def _parquet(file: Path, columns: Columns, one_of_many: bool) -> Rows:
    """Read the rows of a parquet file."""
    with open_shard(file) as shard:
        cells = parquet_cells(shard, file, columns, one_of_many)
        for row in range(shard.metadata.num_rows):
            yield row + 2, {name: texts[row] for name, texts in cells.items()}


def parquet_cells(
    shard: ParquetFile, file: Path, columns: Columns, one_of_many: bool
) -> dict[str, list[str]]:
    """Known columns of a parquet file as text, by what they say; numbers of classes as their names.

    A shard may say in its name which split its rows are of.
    """
    names = shard.schema_arrow.names
    places = find_columns(file, names, columns)
    usual = {"domain": columns.alone, "split": split_of(file) if one_of_many else ""}
    return {
        name: _texts(cells_of(file, shard, names[at]), class_names(shard, names[at]))
        if at >= 0
        else [usual.get(name, "")] * shard.metadata.num_rows
        for name, at in places.items()
    }


def check_alike(table: Path, columns: Columns) -> None:
    """Check that all shards of a table say the same things of their rows, in columns of the same kind.

    A number is written by its type: a group 1 would be another one, 1.0, in a shard that lacks a value.

    Raises:
        UserError: naming two shards that differ.
    """
    known: dict[str, tuple[str, Path]] = {}
    for file in parquet_files(table):
        with open_shard(file) as shard:
            names = shard.schema_arrow.names
            for name, at in find_columns(file, names, columns).items():
                kind = _kind(shard, names[at]) if at >= 0 else "no column"
                first, where = known.setdefault(name, (kind, file)) if kind else (kind, file)
                if kind != first:
                    raise UserError(
                        f"{table_title(table)}: '{name}' is {first} in '{where.name}' and {kind} in "
                        f"'{file.name}': write all of its files alike"
                    )


def _kind(shard: ParquetFile, column: str) -> str:
    """Kind of a column's values: numbers that have names are texts, too; empty where there are no values."""
    import pyarrow as pa

    kind = shard.schema_arrow.field(column).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_null(kind):
        return ""
    if class_names(shard, column) is not None:
        return "a text"
    if pa.types.is_integer(kind):
        return "a whole number"
    return f"of type {kind}" if pa.types.is_primitive(kind) or pa.types.is_decimal(kind) else "a text"


def _texts(values: list[object], names: list[str] | None) -> list[str]:
    """Values as text, whole numbers as the names they stand for; -1 stands for none."""
    if names is None:
        return [as_text(value) for value in values]
    known = dict(enumerate(names))
    return [known.get(value, "") if isinstance(value, int) else as_text(value) for value in values]


def find_columns(file: Path, header: Sequence[str], columns: Columns) -> dict[str, int]:
    """Find the places of all columns, -1 for optional ones that are not there.

    Raises:
        UserError: a column is missing, or there twice, or one is named for two things.
    """
    found = _columns(header, columns)
    for name, places in found.items():
        option = f", or say which with --{name}" if name in COLUMNS else ""
        if len(places) > 1:
            claims = ", ".join(header[at].strip() for at in places)
            raise UserError(
                f"{file} has {len(places)} columns for '{name}' ({claims}): remove or rename all but "
                f"one{option}"
            )
    for name in columns.all:
        given = columns.named.get(name)
        if name in found or not (given or name in columns.required):
            continue
        if given:
            advice = did_you_mean(given, {text.strip() for text in header})
            option = "image" if name == "path" else name
            raise UserError(f"{file} has no column '{given}', as --{option} says: {advice}")
        there = ", ".join(f"'{text.strip()[:40]}'" for text in header[:12])
        option = f": name it with --{name}" if name in COLUMNS else ""
        raise UserError(
            f"{file} has no column '{name}' (nor {', '.join(OTHER_NAMES[name])}), but {there}{option}"
        )
    twice = [name for name in found if found[name] in [found[other] for other in found if other != name]]
    if twice:
        what = " and ".join(f"'{name}'" for name in twice)
        raise UserError(
            f"{file}: column '{header[found[twice[0]][0]].strip()}' is named for {what}: name two"
        )
    return {name: found[name][0] if name in found else -1 for name in columns.all}


def _columns(header: Sequence[str], columns: Columns) -> dict[str, list[int]]:
    """Places that the known columns may be at, of those that have one: as named, or by any usual name."""
    exact = [name.strip() for name in header]
    lower = [name.lower() for name in exact]
    found = {}
    for column, name in columns.named.items():
        places = [at for at, text in enumerate(exact) if text == name]
        found[column] = places or [at for at, text in enumerate(lower) if text == name.lower()]
    taken = {at for places in found.values() for at in places}
    for column in columns.all:
        if column not in columns.named:
            usual = (column, *OTHER_NAMES[column])
            found[column] = [at for at, text in enumerate(lower) if text in usual and at not in taken]
    return {column: places for column, places in found.items() if places and column in columns.all}


def cells_of(file: Path, shard: ParquetFile, column: str) -> list[Any]:
    """Values of a column; bytes, as programs write that have no type of texts, are UTF-8.

    Raises:
        UserError: they are lists, structures, or bytes of something else.
    """
    import pyarrow as pa

    kind = shard.schema_arrow.field(column).type
    if pa.types.is_nested(kind):
        raise UserError(f"{file}: column '{column}' holds {kind}, where a text or a number is read")
    try:
        # By what a value is: types of Arrow that hold bytes are many, dictionaries of them among those.
        return [
            value.decode() if isinstance(value, bytes) else value for value in column_values(shard, column)
        ]
    except UnicodeDecodeError:
        raise UserError(f"{file}: column '{column}' holds bytes that are not UTF-8") from None


def as_text(value: object) -> str:
    """Text of a cell, without spaces around it; empty for a missing one."""
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if missing else str(value).strip()
