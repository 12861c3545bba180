"""Tables of one's own texts, or of sequences of letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from bench.core.digest import combine
from bench.core.errors import UserError
from bench.data.sources.base import Listing, SourceRequest
from bench.data.sources.parquet import table_key, table_title
from bench.data.sources.shards.kept import Stored, kept_listing
from bench.data.sources.tables import SEQUENCES, TEXTS, Columns, read_table
from bench.spec.toml import Frozen

Kind = Literal["text", "sequence"]
"""Modality of items that are written out in a table."""


class OwnTexts(Frozen):
    """Table of one's own texts or sequences; its card names the classes that are left out."""

    type: Literal["own-texts"]
    path: str
    columns: dict[str, str] = Field({}, description="what the table calls its columns")
    modality: Kind = "text"

    def listing(self, request: SourceRequest) -> Listing:
        """List the rows of the card's domains and classes."""
        file = Path(self.path)
        said = (text for pair in self.columns.items() for text in pair)
        key = combine(self.modality, table_key(file), *said)
        return kept_listing(
            table_title(file), key, lambda: own_texts(file, self.columns, self.modality), request
        )


def own_texts(file: Path, named: Mapping[str, str], modality: Kind = "text") -> Iterator[Stored]:
    """Read the texts or sequences of a table, some of whose columns are named.

    Raises:
        UserError: it cannot be read, lacks a column, lists nothing, or sequences without any letter.
    """
    columns, content_of = KINDS[modality]
    empty, letters = True, False
    for _, row in read_table(file, columns.of(file, named)):
        empty, content = False, content_of(row[modality])
        letters = letters or any(65 <= byte <= 90 for byte in content)
        yield Stored(row["domain"], row["label"], row["group"], row["split"], content)
    if empty:
        raise UserError(f"{file} lists no {modality}")
    if modality == "sequence" and not letters:
        # More likely numbers of something, under the same name.
        raise UserError(
            f"{table_title(file)}: its sequences hold no letter from A to Z: name another column with "
            "--sequence; if its rows are the items, say --modality table"
        )


def _text(cell: str) -> bytes:
    return cell.encode("utf-8", "replace")


def _letters(cell: str) -> bytes:
    """Letters of a sequence as capitals, so that equal ones are equal bytes; spaces are none."""
    return "".join(cell.split()).encode("ascii", "replace").upper()


KINDS: dict[Kind, tuple[Columns, Callable[[str], bytes]]] = {
    "text": (TEXTS, _text),
    "sequence": (SEQUENCES, _letters),
}
"""Columns of a table by what its items are, and how a cell becomes the item's bytes."""
