"""Texts in a parquet file of the cache, written once under a checksum, whose rows are the items."""

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

BATCH = 4096
"""Rows that are written at once."""


class Text(NamedTuple):
    """Text with what is known of it, as a row of a kept file."""

    domain: str
    label: str
    group: str
    split: str
    text: str


def kept_listing(
    title: str, key: str, texts: Callable[[], Iterable[Text]], request: SourceRequest
) -> Listing:
    """List texts whose table is found in the cache by a key, or made.

    Raises:
        Absent: what they are made of is not here.
    """
    key = combine(key, code_digest("data/sources/texts/*.py"))

    def keep(read: bool = False) -> Path:
        return Path(kept_part(key, partial(_write, texts), read, KeptPart).array)

    try:
        state = keep().stat()
    except NotHere as reason:
        raise Absent(str(reason)) from None
    return Listing(title, combine(key, state_of(state)), lambda: items_of(keep(read=True), request)[0])


def _write(texts: Callable[[], Iterable[Text]], array: Path) -> KeptPart:
    """Write a table of texts into the cache, beside where an array would be."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = array.with_suffix(".parquet")
    content = pa.struct([("bytes", pa.binary())])
    named = [(name, pa.string()) for name in ("domain", "label", "group", "split")]
    schema = pa.schema([*named, ("text", content)])
    with writing_to_cache(), atomic_file(path) as temporary:
        with pq.ParquetWriter(temporary, schema, compression="none") as writer:
            for batch in _batches(texts()):
                columns = [pa.array(column) for column in list(zip(*batch, strict=True))[:-1]]
                encoded = pa.array([{"bytes": row.text.encode("utf-8", "replace")} for row in batch], content)
                writer.write_table(pa.Table.from_arrays([*columns, encoded], schema=schema))
        sha256 = sha256_of(temporary)
    return KeptPart(labels=[], classes=[], array=str(path), sha256=sha256)


def _batches(texts: Iterable[Text]) -> Iterator[list[Text]]:
    batch: list[Text] = []
    for text in texts:
        batch.append(text)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def items_of(kept: Path, request: SourceRequest) -> tuple[dict[str, list[Item]], int]:
    """Items of a kept file by domain, and how many are of no class of the card."""
    with open_shard(kept) as shard:
        check_rows(kept, shard.metadata.num_rows)
        domains, labels, groups, splits = (
            column_values(shard, name) for name in ("domain", "label", "group", "split")
        )
    items: dict[str, list[Item]] = {name: [] for name in request.domains}
    classes, unknown = {*request.classes}, 0
    for row, (domain, label, group, split) in enumerate(zip(domains, labels, groups, splits, strict=True)):
        if label not in classes:
            unknown += 1
        elif domain in items:
            items[domain].append(Item("", label, group, kept, row, split))
    return {domain: found for domain, found in items.items() if found}, unknown
