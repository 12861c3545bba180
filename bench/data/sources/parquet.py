"""Parquet files of items: opened by what their metadata say, before any row is read; lists of such shards.

A list is a small file of the cache that stands for all shards of a dataset, as a table stands for its rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.digest import combine
from bench.core.errors import UserError
from bench.core.files import open_regular, write_atomically
from bench.core.paths import cache_part, writing_to_cache
from bench.data.sources.base import SPLIT_NAMES, file_key
from bench.spec.toml import Frozen

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


def class_names(file: ParquetFile, column: str) -> list[str] | None:
    """Names that the numbers of a column stand for, as the hub's own library writes them; None for none."""
    try:
        features = json.loads((file.schema_arrow.metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[column]["names"]]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


# Lists of shards --------------------------------------------------------------------------------------------

LIST = ".shards"
"""How the name of a list of shards ends."""

ENDING = ".parquet"

MOST_SHARDS = 10_000
"""Most shards of a dataset."""


class Shards(Frozen):
    """Shards of a dataset, in order of their names, and what they are called in records."""

    title: str
    files: list[str]


def keep_list(name: str, title: str, folder: Path) -> Path:
    """Write the list of the shards below a folder into the cache; its name is the dataset's.

    Raises:
        UserError: there are none, or too many.
    """
    files = sorted(str(path.absolute()) for path in folder.rglob(f"*{ENDING}"))
    if not files:
        raise UserError(
            f"{title} has no parquet files; of others the hub may hold some @refs/convert/parquet"
        )
    if len(files) > MOST_SHARDS:
        raise UserError(f"refused: {title} has more than {MOST_SHARDS:,} parquet files")
    place = cache_part("objects") / combine("shards", title, *files) / f"{name}{LIST}"
    content = Shards(title=title, files=files).model_dump_json().encode()
    # One that is there may be damaged; a whole one stays, since its time is part of keys.
    if not place.is_file() or place.read_bytes() != content:
        with writing_to_cache():
            write_atomically(place, content)
    return place


def is_list(table: Path) -> bool:
    """Return True for the path of a list of shards."""
    return table.suffix == LIST


def read_list(table: Path) -> Shards:
    """Read a list of shards.

    Raises:
        UserError: it has gone from the cache.
    """
    try:
        return Shards.model_validate_json(table.read_bytes())
    except (OSError, ValueError):
        raise UserError(f"cannot read the list of shards '{table}': run the same command again") from None


def parquet_files(table: Path) -> list[Path]:
    """Parquet files of a table: its shards, or itself; none where it is of another form."""
    if is_list(table):
        return [Path(file) for file in read_list(table).files]
    return [table] if table.suffix.lower() == ENDING else []


def table_title(table: Path) -> str:
    """What a table is called in records, without where it lies."""
    return read_list(table).title if is_list(table) else f"table {table.name}"


def table_key(table: Path) -> str:
    """Digest of where the files of a table lie and when they were changed.

    Raises:
        Absent: one is not there.
    """
    return combine(*map(file_key, dict.fromkeys([table, *parquet_files(table)])))


def split_of(shard: Path) -> str:
    """Split that a shard's name says, or its folder's, as `train-00000-of-00003.parquet`; empty for none."""
    names = (re.split(r"[-_.]", shard.name.lower())[0], shard.parent.name.lower())
    return next((SPLIT_NAMES[name] for name in names if name in SPLIT_NAMES), "")
