"""Table of images: CSV or parquet with the columns `path,domain,label[,group][,split]`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

from bench.core.digest import combine
from bench.core.errors import UserError, did_you_mean
from bench.data.sources import layouts
from bench.data.sources.base import Listing, SourceRequest
from bench.data.sources.item import Item
from bench.spec.toml import Frozen

REQUIRED, OPTIONAL = ("path", "domain", "label"), ("group", "split")
SPLIT_NAMES = {"": "", "train": "train", "val": "validation", "valid": "validation", "test": "test"} | {
    "validation": "validation"
}


class Manifest(Frozen):
    """Table whose paths are relative to its folder. `group` keeps related images in one split."""

    type: Literal["manifest"]
    path: str

    def listing(self, request: SourceRequest) -> Listing:
        """List the rows of the table."""
        file = Path(self.path)
        rows = read_manifest(file)
        items: layouts.Items = defaultdict(list)
        unknown = 0
        for row in rows:
            if row["label"] not in request.classes:
                unknown += 1
            elif row["domain"] in request.domains:
                items[row["domain"]].append(
                    Item("", row["label"], row["group"], file.parent / row["path"], split=row["split"])
                )
        paths = [item.path for listed in items.values() for item in listed]
        return Listing(
            f"table {file.name}",
            combine(layouts.digest_of([file, *paths])),
            lambda: dict(items),
            (f"{unknown} rows of {file.name} are of no class of the card",) if unknown else (),
        )


def read_manifest(file: Path) -> list[dict[str, str]]:
    """Read the rows, every column as text, `group` and `split` empty where they are not given.

    Raises:
        UserError: unreadable, a column is missing, or a cell is empty or no split; names the row.
    """
    import pandas as pd

    try:
        table: Any = (
            pd.read_parquet(file)
            if file.suffix == ".parquet"
            else pd.read_csv(file, dtype=str, keep_default_na=False, skipinitialspace=True)
        )
    except Exception as error:
        # The readers of two formats raise many errors for damaged files.
        raise UserError(f"cannot read the table {file}: {' '.join(str(error).split())[:160]}") from None
    table.columns = [str(name).strip().lower() for name in table.columns]
    for name in REQUIRED:
        if name not in table.columns:
            raise UserError(f"{file} has no column '{name}': {did_you_mean(name, table.columns)}")
    rows = []
    for number, row in enumerate(table.to_dict("records"), 2):
        text = {name: _text(row.get(name)) for name in (*REQUIRED, *OPTIONAL)}
        for name in REQUIRED:
            if not text[name]:
                raise UserError(f"{file}, line {number}: '{name}' is empty")
        if text["split"].lower() not in SPLIT_NAMES:
            raise UserError(
                f"{file}, line {number}: split '{text['split']}': train, validation, test or empty"
            )
        rows.append({**text, "split": SPLIT_NAMES[text["split"].lower()]})
    if not rows:
        raise UserError(f"{file} lists no image")
    return rows


def _text(value: object) -> str:
    import pandas as pd

    return "" if value is None or (isinstance(value, float) and pd.isna(value)) else str(value).strip()
