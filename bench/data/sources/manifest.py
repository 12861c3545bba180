"""Table of images: CSV or parquet with the columns `path,domain,label[,group][,split]`."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TextIO

from bench.core.errors import UserError
from bench.core.files import open_regular
from bench.data.sources import layouts
from bench.data.sources.base import SPLIT_NAMES, Listing, SourceRequest
from bench.data.sources.item import Item
from bench.data.sources.parquet import check_rows, column_values, open_shard
from bench.spec.toml import Frozen

REQUIRED, OPTIONAL = ("path", "domain", "label"), ("group", "split")

OTHER_NAMES = {
    "path": ("filename", "file", "file_name", "filepath", "file_path", "image", "image_path", "img_path"),
    "domain": ("domain_name", "site", "style"),
    "label": ("class", "class_name", "label_name", "category", "category_name"),
    "group": ("group_id", "patient", "patient_id"),
    "split": ("subset", "partition"),
}
"""Other names under which tables hold the columns; of all names of one, a table has one."""

DELIMITERS = ",;\t"

MOST_BYTES = 2**30
"""Largest table in bytes."""

MOST_CHARACTERS = 2**16
"""Longest line or cell of a table."""

Rows = Iterator[tuple[int, dict[str, str]]]


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

    def listing(self, request: SourceRequest) -> Listing:
        """List the rows of the card's domains and classes."""
        return replace(Manifest(type="manifest", path=self.path).listing(request), warnings=())


def read_manifest(file: Path) -> list[dict[str, str]]:
    """Read the rows, every column as text, `group` and `split` empty where they are not given.

    Raises:
        UserError: unreadable or too large, a column is missing or there twice, a cell empty or no split.
    """
    read = _parquet if file.suffix.lower() == ".parquet" else _csv
    rows = []
    for number, text in read(file):
        for name in REQUIRED:
            if not text[name]:
                raise UserError(f"{file}, line {number}: '{name}' is empty")
        if "\0" in text["path"]:
            raise UserError(f"{file}, line {number}: a path holds no NUL, as '{text['path']}' does")
        split = text["split"].lower()
        if split and split not in SPLIT_NAMES:
            raise UserError(
                f"{file}, line {number}: split '{text['split']}': train, validation, test or empty"
            )
        rows.append({**text, "split": SPLIT_NAMES.get(split, "")})
        check_rows(file, len(rows))
    if not rows:
        raise UserError(f"{file} lists no image")
    return rows


def _csv(file: Path) -> Rows:
    """Read the rows of a CSV, whose delimiter is the one that its first line shows most columns by."""
    try:
        with open_regular(file) as content:
            if file.stat().st_size > MOST_BYTES:
                raise UserError(f"refused: {file} has more than {MOST_BYTES >> 30} GiB")
            text = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
            first = text.readline(MOST_CHARACTERS)
            if not first.strip():
                raise UserError(f"cannot read the table {file}: its first line names no column")
            # Of marks that show as many of the known columns, the one that shows most of any.
            headers = {mark: next(csv.reader([first], delimiter=mark)) for mark in DELIMITERS}
            delimiter = max(headers, key=lambda mark: (len(_columns(headers[mark])), len(headers[mark])))
            text.seek(0)
            before = csv.field_size_limit(MOST_CHARACTERS)
            try:
                lines = csv.reader(_lines(text), delimiter=delimiter, skipinitialspace=True)
                header = next(lines)
                columns = _required(file, header)
                for cells in lines:
                    if any(cells[len(header) :]):
                        # As where a path has a comma: what comes behind it would be taken for other columns.
                        raise UserError(
                            f"{file}, line {lines.line_num}: {len(cells)} cells, but the first line names "
                            f"{len(header)} columns: put cells that hold '{delimiter}' in quotes"
                        )
                    if any(cells):
                        row = dict(enumerate(cell.strip() for cell in cells))
                        yield lines.line_num, {name: row.get(at, "") for name, at in columns.items()}
            finally:
                csv.field_size_limit(before)
    except UnicodeDecodeError:
        raise UserError(f"cannot read the table {file}: it is not UTF-8; save it as CSV UTF-8") from None
    except (OSError, csv.Error) as error:
        raise UserError(f"cannot read the table {file}: {error}") from None


def _lines(text: TextIO) -> Iterator[str]:
    while line := text.readline(MOST_CHARACTERS + 1):
        if len(line) > MOST_CHARACTERS:
            raise csv.Error(f"a line has more than {MOST_CHARACTERS:,} characters")
        yield line


def _parquet(file: Path) -> Rows:
    with open_shard(file) as shard:
        names = shard.schema_arrow.names
        columns = _required(file, names)
        values = {name: column_values(shard, names[at]) if at >= 0 else [] for name, at in columns.items()}
        for row in range(shard.metadata.num_rows):
            yield row + 2, {name: _text(cells[row]) if cells else "" for name, cells in values.items()}


def _columns(header: Sequence[str]) -> dict[str, int]:
    """Find the places of the known columns, whatever they are called."""
    names = [name.strip().lower() for name in header]
    return {
        column: names.index(name)
        for column in (*REQUIRED, *OPTIONAL)
        for name in [next((n for n in (column, *OTHER_NAMES[column]) if n in names), "")]
        if name
    }


def _required(file: Path, header: Sequence[str]) -> dict[str, int]:
    """Find the places of all columns, -1 for optional ones that are not there."""
    found = _columns(header)
    for name in (*REQUIRED, *OPTIONAL):
        claims = [text.strip() for text in header if text.strip().lower() in (name, *OTHER_NAMES[name])]
        if len(claims) > 1:
            raise UserError(
                f"{file} has {len(claims)} columns for '{name}' ({', '.join(claims)}): remove or rename all "
                "but one"
            )
    for name in REQUIRED:
        if name not in found:
            there = ", ".join(f"'{text.strip()[:40]}'" for text in header[:12])
            raise UserError(
                f"{file} has no column '{name}' (nor {', '.join(OTHER_NAMES[name])}), but {there}"
            )
    return {name: found.get(name, -1) for name in (*REQUIRED, *OPTIONAL)}


def _text(value: object) -> str:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if missing else str(value).strip()
