"""Columns of tables as numbers: what is none becomes columns of zeros and ones."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import UserError, check_name
from bench.core.modalities import MODALITIES

if TYPE_CHECKING:
    from pyarrow import ChunkedArray, DataType, Table

MOST_CATEGORIES = 32
"""Most categories of a column that have a column of their own, the most frequent ones."""

MOST_CELLS = 2**27
"""Most values of a table, which takes half a gigabyte of them."""

LONGEST_NAME = 80
"""Most characters of a text in the name of its column."""


def read_csv(content: bytes, name: str) -> Table:
    """Read a CSV with a header, in UTF-8; empty cells are missing values.

    Raises:
        UserError: it is no such table.
    """
    import pyarrow as pa
    from pyarrow import csv

    try:
        return csv.read_csv(io.BytesIO(content), convert_options=csv.ConvertOptions(strings_can_be_null=True))
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the table {name}: {' '.join(str(error).split())[:160]}") from None


def column(table: Table, name: str) -> ChunkedArray:
    """Column of a table by its name.

    Raises:
        UserError: there is none, or more than one.
    """
    check_name("column", name, table.column_names)
    if table.column_names.count(name) > 1:
        raise UserError(f"{table.column_names.count(name)} columns are called '{name}': rename all but one")
    return table.column(name)


def numbers(table: Table, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """Columns of a table as float32 (rows, F), and the names of the F columns.

    Numbers, truth values and moments (in days) stay a column each, with NaN for what is missing, beside one
    that says where, if anywhere (`x is missing`). Of texts, each of the most frequent has one (`x = a`).

    Raises:
        UserError: a column has no value at all, or there are none, or too many of them or of their values.
    """
    most = MODALITIES["table"].most
    found: list[tuple[str, np.ndarray]] = []
    for name in names if len(names) <= most else ():
        found += _expanded(name, column(table, name))
        check_cells("the table", table.num_rows, len(found))
    if not 0 < len(found) <= most:
        count = max(len(names), len(found))
        raise UserError(f"the table has {count:,} columns of features: 1 to {most:,}, so leave out some")
    return np.stack([values for _, values in found], axis=1), [name for name, _ in found]


def check_cells(what: str, rows: int, columns: int) -> None:
    """Raise a `UserError` where a table has more values than are kept in memory."""
    if rows * columns > MOST_CELLS:
        raise UserError(
            f"refused: {what} has {rows:,} rows of {columns:,} columns, more than {MOST_CELLS / 1e6:,.0f} "
            "million values: leave out some"
        )


def is_text(kind: DataType) -> bool:
    """Return True for the type of a column whose values are categories."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_number(kind: DataType) -> bool:
    """Return True for the type of a column whose values are numbers, or are read as some."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = ("is_integer", "is_floating", "is_decimal", "is_boolean", "is_date", "is_timestamp")
    return any(getattr(pa.types, test)(kind) for test in tests)


def categories(values: ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """Numbers of the texts of a column (rows,), -1 where one is missing, and the texts, frequent ones first.

    Each text is held once, however often it comes.
    """
    import pyarrow as pa

    encoded: Any = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    encoded = encoded.unify_dictionaries().combine_chunks()
    known: dict[str, int] = {}
    # A dictionary may hold a text twice, or one that no row has.
    merged = [
        -1 if text is None else known.setdefault(text, len(known)) for text in encoded.dictionary.to_pylist()
    ]
    at = encoded.indices.fill_null(len(merged)).to_numpy(zero_copy_only=False)
    codes = np.array([*merged, -1])[at]
    counts = np.bincount(codes[codes >= 0], minlength=len(known))
    order = sorted(
        (text for text in known if counts[known[text]]), key=lambda text: (-counts[known[text]], text)
    )
    places = np.full(len(known) + 1, -1)
    places[[known[text] for text in order]] = np.arange(len(order))
    return places[codes], order


def _expanded(name: str, values: ChunkedArray) -> list[tuple[str, np.ndarray]]:
    """Columns of numbers that a column becomes, by name."""
    import pyarrow as pa

    if values.null_count == len(values):
        raise UserError(f"column '{name}' has no value in any row: leave it out")
    if is_text(values.type):
        codes, texts = categories(values)
        return [
            (f"{name} = {text[:LONGEST_NAME]}", (codes == code).astype(np.float32))
            for code, text in enumerate(texts[:MOST_CATEGORIES])
        ]
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    there = _floats(name, values)
    missing = ~np.isfinite(there)
    there[missing] = np.nan
    return [(name, there), *([(f"{name} is missing", missing.astype(np.float32))] if missing.any() else [])]


def _floats(name: str, values: ChunkedArray) -> np.ndarray:
    """Values (rows,) as float32, NaN where there is none.

    Raises:
        UserError: they are no numbers.
    """
    import pyarrow as pa

    kind = values.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        moments = values.cast(pa.timestamp("s"), safe=False).to_numpy()
        days = (moments - np.datetime64(0, "s")) / np.timedelta64(1, "D")
        return np.asarray(days, dtype=np.float32)
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    if not is_number(values.type):
        raise UserError(f"column '{name}' holds {kind}: numbers, texts, dates and truth values are read")
    with np.errstate(over="ignore"):
        return np.array(
            values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float32
        )
