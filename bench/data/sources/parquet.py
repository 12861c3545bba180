"""Parquet files of images: opened by what their metadata say, before any row is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError
from bench.core.files import open_regular

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

MOST_IMAGES = 2_000_000
"""Most images of a dataset."""

RATIO = 100
"""Largest ratio of unpacked to packed bytes: what images are packed in stays about as large as they are."""

FLOOR = 64 * 2**20
"""Bytes up to which the ratio does not count, since small tables pack well."""


@contextmanager
def open_shard(path: Path) -> Iterator[ParquetFile]:
    """Open a parquet file that is no larger, unpacked, than a file of images can be.

    Raises:
        UserError: it is damaged, has too many rows, or unpacks to far more than it takes on disk.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_regular(path):
            pass
        schema = pq.read_schema(path)
        # Texts as dictionaries: one long text that every row repeats would fill the memory.
        texts = [i.name for i in schema if pa.types.is_string(i.type) or pa.types.is_large_string(i.type)]
        with pq.ParquetFile(
            path, memory_map=True, pre_buffer=False, buffer_size=1 << 20, read_dictionary=texts
        ) as file:
            check_rows(path, file.metadata.num_rows)
            groups = range(file.metadata.num_row_groups)
            unpacked = sum(file.metadata.row_group(group).total_byte_size for group in groups)
            if unpacked > max(FLOOR, RATIO * path.stat().st_size):
                raise UserError(
                    f"refused: {path} unpacks to {unpacked / 2**20:.0f} MiB, more than {RATIO} times its size"
                )
            yield file
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the table {path}: {' '.join(str(error).split())[:160]}") from None


def check_rows(path: Path, rows: int) -> None:
    """Raise a `UserError` where a table has more rows than a dataset may have images."""
    if rows > MOST_IMAGES:
        raise UserError(f"refused: {path} has more than {MOST_IMAGES // 10**6} million rows")


def column_values(file: ParquetFile, column: str) -> list[Any]:
    """Read one column as Python values; equal texts are one object, however often they come."""
    import pyarrow as pa

    out: list[Any] = []
    for batch in file.iter_batches(columns=[column]):
        values = batch.column(0)
        if pa.types.is_dictionary(values.type):
            names = values.dictionary.to_pylist()
            out += [None if index is None else names[index] for index in values.indices.to_pylist()]
        else:
            out += values.to_pylist()
    return out
