"""Tables of one's own texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from bench.core.digest import combine
from bench.core.errors import UserError
from bench.data.sources.base import Listing, SourceRequest, file_key
from bench.data.sources.tables import TEXTS, read_table
from bench.data.sources.texts.kept import Text, kept_listing
from bench.spec.toml import Frozen


class OwnTexts(Frozen):
    """Table of one's own texts; its card names the classes that are left out."""

    type: Literal["own-texts"]
    path: str
    columns: dict[str, str] = Field({}, description="what the table calls its columns")

    def listing(self, request: SourceRequest) -> Listing:
        """List the rows of the card's domains and classes."""
        file = Path(self.path)
        key = combine(file_key(file), *(text for pair in self.columns.items() for text in pair))
        return kept_listing(f"table {file.name}", key, lambda: own_texts(file, self.columns), request)


def own_texts(file: Path, named: Mapping[str, str]) -> Iterator[Text]:
    """Read the texts of a table, some of whose columns are named.

    Raises:
        UserError: it cannot be read, lacks a column, or lists nothing.
    """
    empty = True
    for _, row in read_table(file, replace(TEXTS, named=named)):
        empty = False
        yield Text(row["domain"], row["label"], row["group"], row["split"], row["text"])
    if empty:
        raise UserError(f"{file} lists no text")
