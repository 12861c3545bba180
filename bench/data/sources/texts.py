"""Texts out of tables: of pinned distributions, rated by people, and one's own.

They are written once as a parquet file each, whose rows are the items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, FiniteFloat

from bench.core.digest import code_digest, combine
from bench.core.errors import UserError
from bench.core.files import atomic_file
from bench.core.packages import Member, NotHere
from bench.core.paths import cache_part, writing_to_cache
from bench.data.sources.base import Absent, Listing, SourceRequest
from bench.data.sources.item import Item
from bench.data.sources.parquet import check_rows, column_values, open_shard
from bench.data.sources.tables import TEXTS, read_table
from bench.spec.toml import Frozen

BATCH = 4096
"""Rows that are written at once."""


class Text(NamedTuple):
    """Text with what is known of it, as a row of a kept file."""

    domain: str
    label: str
    group: str
    split: str
    text: str


class RatedTable(Frozen):
    """Domain: lines of tab-separated cells without a header: identity, mean rating, text.

    What is before `_` in an identity names what the text is a part of: its group.
    """

    domain: str
    member: Member

    def texts(self, bands: dict[str, tuple[FiniteFloat, FiniteFloat]], download: bool) -> Iterator[Text]:
        """Read the texts whose rating is within a class's band, without its ends."""
        content = self.member.read(download)
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            cells = line.split("\t", 2)
            try:
                identity, rating, text = cells[0], float(cells[1]), cells[2].strip()
            except (IndexError, ValueError):
                raise UserError(f"{self.member.path}, line {number}: no identity, rating and text") from None
            for label, (low, high) in bands.items():
                if low < rating < high and text:
                    yield Text(self.domain, label, f"{self.domain} {identity.partition('_')[0]}", "", text)


class RatedTexts(Frozen):
    """Domains of texts that people have rated; a class is a range of ratings."""

    type: Literal["rated-texts"]
    tables: list[RatedTable] = Field(min_length=1)
    bands: dict[str, tuple[FiniteFloat, FiniteFloat]] = Field(
        min_length=2, description="by class: lowest and highest rating, both left out"
    )
    megabytes: int = Field(description="size of the download, for messages")

    @property
    def title(self) -> str:
        """Name the distributions."""
        return "packages " + ", ".join(dict.fromkeys(table.member.distribution for table in self.tables))

    def listing(self, request: SourceRequest) -> Listing:
        """List every domain; what is not kept yet is read from the distributions, or fetched."""

        def texts() -> Iterator[Text]:
            for table in self.tables:
                yield from table.texts(self.bands, request.download)

        key = combine(self.model_dump_json(exclude={"megabytes"}))
        try:
            kept = keep(key, texts)
        except NotHere as reason:
            raise Absent(str(reason)) from None
        return Listing(self.title, key, lambda: items_of(kept, request)[0])


class OwnTexts(Frozen):
    """Table of one's own texts; its card names the classes that are left out."""

    type: Literal["own-texts"]
    path: str

    def listing(self, request: SourceRequest) -> Listing:
        """List the rows of the card's domains and classes."""
        file = Path(self.path)
        try:
            status = file.stat()
        except OSError as error:
            raise Absent(f"cannot read {file}: {error.strerror}") from None
        # As cheap as it has to be at every start: the content of a changed file is another's.
        key = combine(str(file), str(status.st_size), str(status.st_mtime_ns), str(status.st_ino))
        kept = keep(key, lambda: own_texts(file))
        return Listing(f"table {file.name}", key, lambda: items_of(kept, request)[0])


def own_texts(file: Path) -> Iterator[Text]:
    """Read the texts of a table.

    Raises:
        UserError: it cannot be read, lacks a column, or lists nothing.
    """
    empty = True
    for _, row in read_table(file, TEXTS):
        empty = False
        yield Text(row["domain"], row["label"], row["group"], row["split"], row["text"])
    if empty:
        raise UserError(f"{file} lists no text")


def keep(key: str, texts: Callable[[], Iterable[Text]]) -> Path:
    """Find a kept file of texts in the cache, or write it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = cache_part("library") / f"{combine(key, code_digest('data/sources/texts.py'))}.parquet"
    if path.is_file():
        return path
    content = pa.struct([("bytes", pa.binary())])
    named = [(name, pa.string()) for name in ("domain", "label", "group", "split")]
    schema = pa.schema([*named, ("text", content)])
    with (
        writing_to_cache(),
        atomic_file(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="none") as writer,
    ):
        for batch in _batches(texts()):
            columns = [pa.array(column) for column in list(zip(*batch, strict=True))[:-1]]
            encoded = pa.array([{"bytes": row.text.encode("utf-8", "replace")} for row in batch], content)
            writer.write_table(pa.Table.from_arrays([*columns, encoded], schema=schema))
    return path


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
