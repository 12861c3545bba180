"""Table of images: CSV or parquet with the columns `path,domain,label[,group][,split]`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from bench.core.errors import UserError
from bench.data.sources import layouts
from bench.data.sources.base import Listing, SourceRequest
from bench.data.sources.item import Item
from bench.data.sources.tables import IMAGES, read_table
from bench.spec.toml import Frozen


class Manifest(Frozen):
    """Table whose paths are relative to its folder. `group` keeps related images in one split."""

    type: Literal["manifest"]
    path: str
    columns: dict[str, str] = Field({}, description="what the table calls its columns")

    def listing(self, request: SourceRequest) -> Listing:
        """List the rows of the table."""
        file = Path(self.path)
        rows = read_manifest(file, self.columns)
        items: layouts.Items = defaultdict(list)
        unknown = 0
        for row in rows:
            if row["label"] not in request.classes:
                unknown += 1
            elif row["domain"] in request.domains:
                items[row["domain"]].append(
                    Item("", row["label"], row["group"], file.parent / row["path"], split=row["split"])
                )
        return Listing(
            f"table {file.name}",
            layouts.digest_of(items),
            lambda: dict(items),
            (f"{unknown} rows of {file.name} are of no class of the card",) if unknown else (),
        )


class OwnTable(Frozen):
    """Table of one's own images; its card names the classes that are left out."""

    type: Literal["own-table"]
    path: str
    columns: dict[str, str] = Field({}, description="what the table calls its columns")

    def listing(self, request: SourceRequest) -> Listing:
        """List the rows of the card's domains and classes."""
        manifest = Manifest(type="manifest", path=self.path, columns=self.columns)
        return replace(manifest.listing(request), warnings=())


def read_manifest(file: Path, named: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """Read the rows, every column as text, `group` and `split` empty where they are not given.

    Raises:
        UserError: unreadable or too large, a column is missing or there twice, a cell empty or no split.
    """
    rows = []
    for number, text in read_table(file, replace(IMAGES, named=named or {})):
        if "\0" in text["path"]:
            raise UserError(f"{file}, line {number}: a path holds no NUL, as '{text['path']}' does")
        rows.append(text)
    if not rows:
        raise UserError(f"{file} lists no image")
    return rows
