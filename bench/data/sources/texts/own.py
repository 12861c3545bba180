"""Tables of one's own texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from bench.core.digest import combine
from bench.core.errors import UserError
from bench.data.sources import layouts
from bench.data.sources.base import Absent, Listing, SourceRequest
from bench.data.sources.tables import TEXTS, read_table
from bench.data.sources.texts.kept import Text, kept_listing
from bench.spec.toml import Frozen


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
        key = combine(str(file), layouts.state_of(status), str(status.st_ino))
        return kept_listing(f"table {file.name}", key, lambda: own_texts(file), request)


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
