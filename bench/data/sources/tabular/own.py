"""Tables of one's own rows: numbers and categories, with a column of classes and one of domains."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from bench.core.digest import code_digest, combine
from bench.core.errors import UserError
from bench.core.files import open_regular
from bench.core.modalities import MODALITIES
from bench.data.sources.base import SPLIT_NAMES, Listing, SourceRequest, state_of
from bench.data.sources.item import Item
from bench.data.sources.library import KeptPart, keep_array, kept_part
from bench.data.sources.parquet import (
    check_rows,
    is_list,
    open_shard,
    parquet_files,
    table_key,
    table_title,
)
from bench.data.sources.tables import (
    ROWS,
    as_text,
    check_alike,
    check_quotes,
    find_columns,
    not_utf8,
    parquet_cells,
    read_header,
)
from bench.data.sources.tabular.columns import (
    MOST_CATEGORIES,
    categories,
    check_cells,
    is_number,
    is_text,
    numbers,
)
from bench.spec.toml import Frozen

if TYPE_CHECKING:
    from pyarrow import ChunkedArray, Schema, Table

MOST_NAMES = 1000
"""Most classes, and most domains: a column with more values is of something else."""

LONGEST_TEXT = 200
"""Most characters of the name of a class, a domain or a group."""

UNKNOWN = ("?", " ?")
"""Texts that stand for a missing value, beside those that pyarrow knows (NA, NaN, NULL, none at all)."""

BLOCK = 2**22
"""Bytes of a CSV that are read at a time, and of its longest line."""

Cells = dict[str, list[str]]
"""What a table says of each row, as text: `label`, `domain`, `group` and `split`."""


class KeptRows(KeptPart):
    """Note in the cache of a table of rows, in its order."""

    columns: list[str]
    """Names of the numbers of a row."""
    numeric: bool
    """Whether a column holds numbers; all others are categories."""
    domains: list[str]
    groups: list[str]
    splits: list[str]
    left_out: list[str]
    """Columns that are not read, with the reasons."""
    many: list[str]
    """Columns of more categories than are told apart."""

    def rows(self) -> Iterator[tuple[str, Item]]:
        """Rows with their domains: equal ones are different things, unless they are of one group."""
        places = zip(self.images(), self.domains, self.groups, self.splits, strict=True)
        for (path, row, label), domain, group, split in places:
            name = f"row {(row or 0) + 1}"
            yield (
                domain,
                Item(name, self.classes[label], f"group {group}" if group else name, path, row, split),
            )


class OwnRows(Frozen):
    """Table of one's own rows; its card names the classes that are left out."""

    type: Literal["own-rows"]
    path: str
    columns: dict[str, str] = Field({}, description="what the table calls its columns")

    def listing(self, request: SourceRequest) -> Listing:
        """List the rows of the card's domains and classes."""
        file = Path(self.path)

        def items() -> dict[str, list[Item]]:
            found: dict[str, list[Item]] = {name: [] for name in request.domains}
            for domain, item in own_rows(file, self.columns, read=True).rows():
                if domain in found and item.label in request.classes:
                    found[domain].append(item)
            return {domain: rows for domain, rows in found.items() if rows}

        state = state_of(Path(own_rows(file, self.columns).array).stat())
        return Listing(table_title(file), combine(_key(file, self.columns), state), items)


def own_rows(file: Path, named: Mapping[str, str], read: bool = False) -> KeptRows:
    """Find the rows of a table in the cache, or keep them there; whoever is to `read` gets a whole array.

    Raises:
        UserError: the table cannot be read, is too large, lacks a column, or lists nothing.
    """
    return kept_part(_key(file, named), partial(_kept, file, named), read, KeptRows)


def _key(file: Path, named: Mapping[str, str]) -> str:
    code = code_digest("data/sources/tabular/*.py", "data/sources/tables.py", "data/sources/parquet.py")
    return combine(table_key(file), code, *(text for pair in named.items() for text in pair))


def _kept(file: Path, named: Mapping[str, str], out: Path) -> KeptRows:
    """Write the rows of a table as one array, float32 (rows, F)."""
    read = _parquet if parquet_files(file) else _csv
    cells, table, left_out = read(file, named)
    _check(file, cells, named)
    empty = [name for name in table.column_names if _is_empty(table.column(name))]
    left_out += [f"column '{name}' (no value in any row)" for name in empty]
    names = [name for name in table.column_names if name not in empty]
    if not names:
        raise UserError(f"{file} has no column of features: left out are {', '.join(left_out[:5])}")
    texts = [name for name in names if is_text(table.column(name).type)]
    counts = {name: len(categories(table.column(name))[1]) for name in texts}
    try:
        features, columns = numbers(table, names)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    classes = sorted({*cells["label"]})
    places = {name: number for number, name in enumerate(classes)}
    kept = keep_array(out, features, [places[label] for label in cells["label"]], classes)
    return KeptRows(
        **kept.model_dump(),
        columns=columns,
        numeric=len(texts) < len(names),
        **{f"{name}s": cells[name] for name in ("domain", "group", "split")},
        left_out=left_out,
        many=[
            f"column '{name}' holds {count:,} different texts, of which the {MOST_CATEGORIES} most frequent "
            "are told apart"
            for name, count in counts.items()
            if count > MOST_CATEGORIES
        ],
    )


def _is_empty(values: ChunkedArray) -> bool:
    """Return True for a column without a value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = pc.is_null(values, nan_is_null=True) if pa.types.is_floating(values.type) else values.is_null()
    return bool(pc.all(missing).as_py())


def _check(file: Path, cells: Cells, named: Mapping[str, str]) -> None:
    """Check what a table says of its rows, and change the names of splits into ours."""
    rows = len(cells["label"])
    if not rows:
        raise UserError(f"{file} lists no row")
    check_rows(file, rows)
    for name, texts in cells.items():
        if long := next((text for text in {*texts} if len(text) > LONGEST_TEXT), ""):
            raise UserError(
                f"{file}: '{long[:40]}…' has {len(long):,} characters: the longest {name} has {LONGEST_TEXT}"
            )
    for name in ("label", "domain"):
        if empty := [row for row, text in enumerate(cells[name], 1) if not text]:
            more = f", as in {len(empty) - 1:,} more" if len(empty) > 1 else ""
            raise UserError(f"{file}, row {empty[0]}: '{named.get(name, name)}' is empty{more}")
        if (count := len({*cells[name]})) > MOST_NAMES:
            raise UserError(
                f"{file}: column '{named.get(name, name)}' has {count:,} different values: a table has up to "
                f"{MOST_NAMES:,} {'classes' if name == 'label' else 'domains'}, so name another with --{name}"
            )
    for row, text in enumerate(cells["split"]):
        if text and text.lower() not in SPLIT_NAMES:
            raise UserError(f"{file}, row {row + 1}: split '{text}': train, validation, test or empty")
        cells["split"][row] = SPLIT_NAMES.get(text.lower(), "")


def _features(file: Path, header: Sequence[str], places: Mapping[str, int]) -> list[str]:
    """Columns of a header that are features: all that say nothing else, and have a name.

    Raises:
        UserError: two have the same name, or there are none, or too many.
    """
    names = [name for at, name in enumerate(header) if name and at not in places.values()]
    if not names:
        raise UserError(f"{file} has no column beside those of labels, domains, groups and splits")
    most = MODALITIES["table"].most
    if len(names) > most:
        raise UserError(f"{file} has {len(names):,} columns of features: 1 to {most:,}, so leave out some")
    name, count = Counter(filter(None, header)).most_common(1)[0]
    if count > 1:
        raise UserError(f"{file}: {count} columns are called '{name}': rename all but one")
    return names


def _nameless(header: Sequence[str]) -> list[str]:
    """Say which columns have no name, as the one that pandas writes its index into."""
    return [f"column {at} (it has no name)" for at, name in enumerate(header, 1) if not name]


def _parquet(table: Path, named: Mapping[str, str]) -> tuple[Cells, Table, list[str]]:
    """What parquet files say of their rows, their columns of features, and those that are none."""
    import pyarrow as pa

    check_alike(table, ROWS.of(table, named))
    cells: Cells = defaultdict(list)
    parts: list[Table] = []
    left_out: dict[str, None] = {}
    for file in parquet_files(table):
        with open_shard(file) as shard:
            schema, columns = shard.schema_arrow, ROWS.of(table, named)
            names = _features(file, schema.names, find_columns(file, schema.names, columns))
            odd = _odd(schema, names)
            names = [name for name in names if name not in odd]
            for name, texts in parquet_cells(shard, file, columns, is_list(table)).items():
                cells[name] += texts
            check_cells(str(file), len(cells["label"]), len(names))
            check_rows(file, len(cells["label"]))
            left_out |= dict.fromkeys([*_nameless(schema.names), *odd.values()])
            parts.append(shard.read(columns=names, use_threads=False))
    try:
        return cells, pa.concat_tables(parts, promote_options="permissive"), [*left_out]
    except pa.ArrowException as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{table_title(table)}: its shards have other columns each: {reason}") from None


def _csv(file: Path, named: Mapping[str, str]) -> tuple[Cells, Table, list[str]]:
    """What a CSV says of its rows, its columns of features, and those that are none."""
    import pyarrow as pa

    columns = ROWS.of(file, named)
    delimiter, header = read_header(file, columns)
    places = find_columns(file, header, columns)
    names = _features(file, header, places)
    lines, quoted = _lines(file)
    check_cells(str(file), lines, len(header))
    if quoted:
        check_quotes(file, delimiter, BLOCK)
    read = partial(_read, file, header, delimiter)
    # What a row is called is a text whatever it looks like, and 'NA' is one, too: Namibia.
    facts = [header[at] for at in places.values() if at >= 0]
    texts = read(facts, column_types=dict.fromkeys(facts, pa.string()), null_values=[""])
    cells = {
        name: [as_text(value) for value in texts.column(header[at]).to_pylist()]
        if at >= 0
        else [""] * texts.num_rows
        for name, at in places.items()
    }
    table = read(names)
    if delimiter == ";" and (words := [each.name for each in table.schema if is_text(each.type)]):
        # Where columns are told apart by semicolons, numbers may have a comma.
        again = read(words, decimal_point=",")
        for name in words:
            if is_number(again.column(name).type):
                table = table.set_column(table.column_names.index(name), name, again.column(name))
    odd = _odd(table.schema, names)
    return cells, table.drop_columns([*odd]), [*_nameless(header), *odd.values()]


def _odd(schema: Schema, names: Sequence[str]) -> dict[str, str]:
    """Columns whose values are neither numbers nor categories, and what is said of each."""
    import pyarrow as pa

    kinds = {name: schema.field(name).type for name in names}
    return {
        name: f"column '{name}' (it holds {kind})"
        for name, kind in kinds.items()
        if not (is_text(kind) or is_number(kind) or pa.types.is_null(kind))
    }


def _lines(file: Path) -> tuple[int, bool]:
    """Lines of a file at most, line feeds or carriage returns, whichever are more; and if it has a quote."""
    feeds = returns = 0
    quoted = False
    with open_regular(file) as content:
        while piece := content.read(BLOCK):
            feeds += piece.count(b"\n")
            returns += piece.count(b"\r")
            quoted = quoted or b'"' in piece
    return max(feeds, returns), quoted


def _read(file: Path, header: Sequence[str], delimiter: str, names: Sequence[str], **convert: Any) -> Table:
    """Read some columns of a CSV, in UTF-8."""
    import pyarrow as pa
    from pyarrow import csv

    convert.setdefault("null_values", [*csv.ConvertOptions().null_values, *UNKNOWN])
    try:
        with open_regular(file) as content:
            table = csv.read_csv(
                content,
                csv.ReadOptions(use_threads=False, block_size=BLOCK, skip_rows=1, column_names=header),
                csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                csv.ConvertOptions(include_columns=names, strings_can_be_null=True, **convert),
            )
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:160]
        if "invalid UTF8" in reason:
            raise not_utf8(file) from None
        if "straddling" in reason:
            reason = f"a line has more than {BLOCK >> 20} MiB"
        raise UserError(f"cannot read the table {file}: {reason}") from None
    if any(pa.types.is_binary(each.type) for each in table.schema):
        raise not_utf8(file)
    return table
