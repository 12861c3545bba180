"""Columns of tables as numbers: what is none becomes columns of zeros and ones."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import UserError, check_name
from bench.core.modalities import MODALITIES

if TYPE_CHECKING:
    from pyarrow import ChunkedArray, Table

MOST_CATEGORIES = 32
"""Most categories of a column that have a column of their own, the most frequent ones."""


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
        UserError: a column has no value at all, or there are none, or too many.
    """
    most = MODALITIES["table"].most
    found: dict[str, np.ndarray] = {}
    if len(names) <= most:
        for name in names:
            found |= _expanded(name, column(table, name))
    if not 0 < len(found) <= most or len(names) > most:
        count = max(len(names), len(found))
        raise UserError(f"the table has {count:,} columns of features: 1 to {most:,}, so leave out some")
    return np.stack([*found.values()], axis=1), [*found]


def _expanded(name: str, values: ChunkedArray) -> dict[str, np.ndarray]:
    """Columns of numbers that a column becomes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if values.null_count == len(values):
        raise UserError(f"column '{name}' has no value in any row: leave it out")
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        counts = sorted(((n, text) for text, n in _counted(values)), key=lambda pair: (-pair[0], pair[1]))
        return {
            f"{name} = {text}": pc.fill_null(pc.equal(values, text), False).to_numpy().astype(np.float32)
            for _, text in counts[:MOST_CATEGORIES]
        }
    there = _floats(name, values)
    missing = ~np.isfinite(there)
    there[missing] = np.nan
    marks = {f"{name} is missing": missing.astype(np.float32)} if missing.any() else {}
    return {name: there, **marks}


def _counted(values: ChunkedArray) -> list[tuple[str, int]]:
    counts: Any = values.value_counts()
    return [(each["values"], each["counts"]) for each in counts.to_pylist() if each["values"] is not None]


def _floats(name: str, values: ChunkedArray) -> np.ndarray:
    """Values (rows,) as float32, NaN where there is none.

    Raises:
        UserError: they are no numbers.
    """
    import pyarrow as pa

    kind = values.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        moments = values.cast(pa.timestamp("s")).to_numpy()
        days = (moments - np.datetime64(0, "s")) / np.timedelta64(1, "D")
        return np.asarray(days, dtype=np.float32)
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise UserError(f"column '{name}' holds {kind}: numbers, texts, dates and truth values are read")
    with np.errstate(over="ignore"):
        return np.array(
            values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float32
        )
