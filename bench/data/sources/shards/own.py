"""Files inside parquet shards as one's own items: images or recordings, in a column of their bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from bench.core.digest import combine
from bench.core.errors import UserError, did_you_mean
from bench.data.sources.base import Listing, SourceRequest
from bench.data.sources.parquet import open_shard, parquet_files, table_key, table_title
from bench.data.sources.shards.kept import Items, Stored, facts_of, kept_file, kept_listing
from bench.data.sources.tables import ROWS, read_table
from bench.spec.toml import Frozen

BATCH = 32
"""Files that are read at once."""


class OwnFiles(Frozen):
    """Parquet shards that hold one's own files; its card names the classes that are left out."""

    type: Literal["own-files"]
    path: str
    item: str = Field(description="column of the files")
    columns: dict[str, str] = Field({}, description="what the shards call their other columns")

    def facts(self) -> Iterator[tuple[str, str, str, str]]:
        """Domain, label, group and split of each file; the files are copied into the cache.

        Raises:
            UserError: a shard cannot be read, lacks a column, or holds no files in it.
        """
        return facts_of(kept_file(self._key, self._files))

    @property
    def _files(self) -> Items:
        return partial(own_files, Path(self.path), self.item, self.columns)

    @property
    def _key(self) -> str:
        named = (text for pair in self.columns.items() for text in pair)
        return combine(table_key(Path(self.path)), self.item, *named)

    def listing(self, request: SourceRequest) -> Listing:
        """List the rows of the card's domains and classes."""
        return kept_listing(table_title(Path(self.path)), self._key, self._files, request)


def own_files(table: Path, item: str, named: Mapping[str, str]) -> Iterator[Stored]:
    """Read the files in a column of shards, a few at a time.

    Raises:
        UserError: as `OwnFiles.facts`.
    """
    rows = read_table(table, ROWS.of(table, named))
    files = (content for shard in parquet_files(table) for content in _contents(shard, item))
    for (_, row), content in zip(rows, files, strict=True):
        yield Stored(row["domain"], row["label"], row["group"], row["split"], content)


def _contents(file: Path, column: str) -> Iterator[bytes]:
    """Bytes of the files in a column, none of a missing one."""
    import pyarrow as pa

    with open_shard(file) as shard:
        schema = shard.schema_arrow
        if column not in schema.names:
            raise UserError(f"{file} has no column '{column}': {did_you_mean(column, schema.names)}")
        kind = schema.field(column).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        inside = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
        if not (inside or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            raise UserError(
                f"{file}: column '{column}' holds {kind}, and images and recordings are bytes, or structs of "
                "bytes and path: name another with --image or --audio"
            )
        for batch in shard.iter_batches(BATCH, columns=[column]):
            values = batch.column(0).field("bytes") if inside else batch.column(0)
            yield from (value.as_py() or b"" for value in values)
