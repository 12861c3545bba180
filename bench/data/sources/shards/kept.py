"""Items in a parquet file of the cache, written once under a checksum: texts, or contents of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.core.digest import code_digest, combine
from bench.core.files import atomic_file
from bench.core.packages import NotHere
from bench.core.paths import writing_to_cache
from bench.data.sources.base import Absent, Listing, SourceRequest, state_of
from bench.data.sources.item import Item
from bench.data.sources.library import KeptPart, kept_part, sha256_of
from bench.data.sources.parquet import check_rows, column_values, open_shard

CODE = ("data/sources/shards/*.py", "data/sources/texts/*.py", "data/sources/tables.py")
"""Code that decides what is kept."""

BATCH, BATCH_BYTES = 4096, 2**26
"""Most rows that are written at once, and the bytes from which on they are."""


class Stored(NamedTuple):
    """Content of an item with what is known of it, as a row of a kept file."""

    domain: str
    label: str
    group: str
    split: str
    content: bytes


Items = Callable[[], Iterable[Stored]]


def kept_file(key: str, items: Items, read: bool = False) -> Path:
    """Find items in the cache by a key, or keep them there; whoever is to `read` gets a whole file."""
    named = combine(key, code_digest(*CODE))
    return Path(kept_part(named, partial(_write, items), read, KeptPart).array)


def kept_listing(title: str, key: str, items: Items, request: SourceRequest) -> Listing:
    """List items whose file is found in the cache by a key, or made.

    Raises:
        Absent: what they are made of is not here.
    """
    try:
        state = kept_file(key, items).stat()
    except NotHere as reason:
        raise Absent(str(reason)) from None

    def found() -> dict[str, list[Item]]:
        return items_of(kept_file(key, items, read=True), request)[0]

    return Listing(title, combine(key, state_of(state)), found)


def _write(items: Items, array: Path) -> KeptPart:
    """Write items into the cache, beside where an array would be."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = array.with_suffix(".parquet")
    content = pa.struct([("bytes", pa.binary())])
    named = [(name, pa.string()) for name in ("domain", "label", "group", "split")]
    schema = pa.schema([*named, ("content", content)])
    with writing_to_cache(), atomic_file(path) as temporary:
        with pq.ParquetWriter(temporary, schema, compression="none") as writer:
            for batch in _batches(items()):
                columns = [pa.array(column) for column in list(zip(*batch, strict=True))[:-1]]
                encoded = pa.array([{"bytes": row.content} for row in batch], content)
                writer.write_table(pa.Table.from_arrays([*columns, encoded], schema=schema))
        sha256 = sha256_of(temporary)
    return KeptPart(labels=[], classes=[], array=str(path), sha256=sha256)


def _batches(items: Iterable[Stored]) -> Iterator[list[Stored]]:
    batch: list[Stored] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.content)
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def facts_of(kept: Path) -> Iterator[tuple[str, str, str, str]]:
    """Domain, label, group and split of each item of a kept file."""
    with open_shard(kept) as shard:
        check_rows(kept, shard.metadata.num_rows)
        facts = [column_values(shard, name) for name in ("domain", "label", "group", "split")]
    return zip(*facts, strict=True)


def items_of(kept: Path, request: SourceRequest) -> tuple[dict[str, list[Item]], int]:
    """Items of a kept file by domain, and how many are of no class of the card."""
    items: dict[str, list[Item]] = {name: [] for name in request.domains}
    classes, unknown = {*request.classes}, 0
    for row, (domain, label, group, split) in enumerate(facts_of(kept)):
        if label not in classes:
            unknown += 1
        elif domain in items:
            items[domain].append(Item("", label, group, kept, row, split))
    return {domain: found for domain, found in items.items() if found}, unknown
