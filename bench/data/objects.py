"""Items of Python objects, written down as a table of one's own: datasets of torch, frames, ….

Objects are told apart by what they offer, so that no library of theirs is imported here.
"""

from __future__ import annotations

import csv
import filecmp
import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from bench.core.digest import combine
from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.core.paths import ITEM_COLUMNS, cache_part, writing_to_cache
from bench.core.text import counted, printable
from bench.data.own import table_modality
from bench.data.sources.base import SPLIT_NAMES
from bench.data.sources.parquet import MOST_IMAGES
from bench.data.sources.shards.fetching import SCHEME, shards_at
from bench.data.sources.tables import MOST_CHARACTERS, OTHER_NAMES

NO_NAMES: Mapping[str, str] = {}
TABLE = ("path", "domain", "label", "group", "split")
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
"""Modes of Pillow's images that PNG holds as they are."""
NUMBERS = ("I", "F")
"""Modes of Pillow's images whose pixels are numbers of 32 bits, which may be of any range."""
PLAIN = (str, int, float, Decimal, date, np.generic, type(None))
"""Values that a table holds as they are."""
TAKES = (
    "a folder, a table of paths, a frame with the columns path (or image) and label, a dataset of torch or "
    "of the Hugging Face hub, or a dictionary of such, by domain"
)


@dataclass(frozen=True)
class Entry:
    """Image as its owner hands it over: an object of Pillow, an array, a tensor, a file's content or path."""

    image: Any
    label: str
    domain: str
    split: str = ""
    group: str = ""


class OwnData(NamedTuple):
    """Path for `--data`, what the table there calls its columns (`label`, …), and what its items are."""

    place: Path
    columns: dict[str, str]
    modality: str | None = None


def as_own_data(data: Any, columns: Mapping[str, str] = NO_NAMES, modality: str | None = None) -> OwnData:
    """Path for `--data`: of a folder or table its own, of other objects that of a table of theirs.

    The table lies in the cache, under a name with a digest of what is in it.

    Args:
        columns: what a table or frame calls the columns `COLUMNS`, where it says otherwise.
        modality: what the items of a table or frame are; default: as the columns say.

    Raises:
        UserError: `data` is of no kind that is known, or an item of it is no labelled image.
    """
    if isinstance(data, str) and data.startswith(SCHEME):
        return OwnData(shards_at(data)[0], dict(columns), modality)
    if isinstance(data, str | os.PathLike):
        return OwnData(Path(data).expanduser(), dict(columns), modality)
    kind = re.sub(r"[^a-z0-9]+", "-", type(data).__name__.lower()).strip("-") or "data"
    if _is_frame(data):
        frame = data.to_pandas() if hasattr(data, "to_pandas") else data
        if _holds(frame, columns, modality) != "image":
            return OwnData(_table_of(kind, frame), dict(columns), modality)
    elif modality not in (None, "image"):
        raise UserError(f"modality = '{modality}': objects of Python other than frames are of images")
    named = {"path" if name == "image" else name: column for name, column in columns.items()}
    return OwnData(_written(kind, entries(data, kind, named)), {})


def _is_frame(data: Any) -> bool:
    return hasattr(data, "columns") and not hasattr(data, "column_names")


def _holds(frame: Any, columns: Mapping[str, str], modality: str | None) -> str:
    """Modality of a frame's items: as its owner says, or as the columns do."""
    items = next((name for name in ITEM_COLUMNS if name in columns), None)
    if not (modality or items):
        first = next(_rows(frame), {}).values()
        # Arrays and images would be written as their text.
        items = None if all(isinstance(value, PLAIN) for value in first) else "image"
    return modality or items or table_modality([str(name) for name in frame.columns], columns)


def _table_of(kind: str, frame: Any) -> Path:
    """Write a frame of rows or texts as a table into the cache, under a name with its digest."""
    text = frame.to_csv(index=False)
    digest = combine(text)
    place = cache_part("objects") / digest / f"{kind}-{digest[:8]}.csv"
    with writing_to_cache():
        write_atomically(place, text.encode())
    return place


def entries(data: Any, domain: str, named: Mapping[str, str] = NO_NAMES) -> Iterator[Entry]:
    """Entries of a dataset, all of `domain` where it names no other.

    Args:
        named: what a frame calls the columns of `TABLE`, where it says otherwise.

    Raises:
        UserError: `data` is of no kind that is known.
    """
    if isinstance(data, Mapping):
        yield from _of_several(data, domain, named)
    elif hasattr(data, "features") and hasattr(data, "column_names"):
        yield from _of_hub(data, domain, named)
    elif hasattr(data, "columns"):
        frame = data.to_pandas() if hasattr(data, "to_pandas") else data
        yield from _of_rows(_rows(frame), list(frame.columns), domain, named)
    elif named:
        name, column = next(iter(named.items()))
        raise UserError(f"{name} = '{column}' names a column of a table, and data is a {type(data).__name__}")
    elif hasattr(data, "__getitem__") or hasattr(data, "__iter__"):
        yield from _of_torch(data, domain)
    else:
        raise UserError(f"data is of type {type(data).__name__}: hand over {TAKES}")


def _of_several(data: Mapping[Any, Any], domain: str, named: Mapping[str, str]) -> Iterator[Entry]:
    """Entries of datasets by domain, or by published split where all names are those of splits."""
    if not data:
        raise UserError("data is an empty dictionary: hand over a dataset for each domain")
    splits = {str(name).lower() for name in data} <= set(SPLIT_NAMES)
    for name, part in data.items():
        if isinstance(part, Mapping | str | os.PathLike):
            raise UserError(f"data['{name}'] is a {type(part).__name__}: hand over a dataset for each domain")
        for number, entry in enumerate(entries(part, domain if splits else str(name), named)):
            if splits:
                yield replace(entry, split=str(name))
            elif entry.domain == str(name):
                yield entry
            else:
                raise UserError(
                    f"item {number} of data['{name}'] is of domain '{printable(entry.domain)}' by a column "
                    "of its own: rename that column, or hand over one table of all domains"
                )


def _of_torch(data: Any, domain: str) -> Iterator[Entry]:
    """Entries of a dataset of torch, whose items are (image, label)."""
    names = getattr(data, "classes", None)
    if names is None:
        names = getattr(getattr(data, "dataset", None), "classes", None)  # of a subset
    for number, item in enumerate(data.samples if _lists_files(data) else _in_order(data)):
        try:
            image, label = item
        except (TypeError, ValueError):
            raise UserError(
                f"item {number} of the dataset is a {type(item).__name__}, no (image, label)"
            ) from None
        yield Entry(image, _label(label, names, number), domain)


def _lists_files(data: Any) -> bool:
    """Return True if a dataset's items are its `samples`, files that torchvision reads as they are.

    A class of somebody else may have a list of that name, too, and items of its own making.
    """
    changes = ("transform", "target_transform", "transforms")
    makers = ((type(data), "__getitem__"), (type(data), "__len__"), (data, "loader"))
    return all(getattr(data, name, None) is None for name in changes) and all(
        getattr(getattr(owner, name, None), "__module__", "") == "torchvision.datasets.folder"
        for owner, name in makers
    )


def _in_order(data: Any) -> Iterator[Any]:
    if hasattr(data, "__len__") and hasattr(data, "__getitem__"):
        return (data[number] for number in range(len(data)))
    return iter(data)


def _label(label: Any, names: Any, number: int) -> str:
    """Name of a class: text, or a whole number, which `names` may have a name for."""
    if hasattr(label, "item") and getattr(label, "ndim", 1) == 0:
        label = label.item()
    if isinstance(label, str):
        return label
    if isinstance(label, bool) or not isinstance(label, int):
        raise UserError(
            f"the label of item {number} is a {type(label).__name__}: a text or a whole number names a class"
        )
    if names is None:
        return str(label)
    if not 0 <= label < len(names):
        known = counted(len(names), "class", "classes")
        raise UserError(f"the label of item {number} is {label}, but the dataset has {known}")
    return str(names[label])


def _of_hub(data: Any, domain: str, named: Mapping[str, str]) -> Iterator[Entry]:
    """Entries of a dataset of the Hugging Face library, files as they are stored where that can be had."""
    features = data.features or {}
    for name, feature in features.items():
        if type(feature).__name__ == "Image":
            data = data.cast_column(name, type(feature)(decode=False))
    classes = {column: each for column, each in features.items() if type(each).__name__ == "ClassLabel"}
    names = {column: each.names for column, each in classes.items()}
    rows = ({**row, **_named(row, names)} for row in data)
    yield from _of_rows(rows, list(features), domain, named)


def _named(row: Mapping[str, Any], names: Mapping[str, list[str]]) -> dict[str, Any]:
    """Values of a row that are numbers of names, by name; -1 stands for none."""
    known = {column: row[column] for column in names if row[column] is not None}
    return {column: names[column][number] if number >= 0 else "" for column, number in known.items()}


def _rows(frame: Any) -> Iterator[dict[Any, Any]]:
    """Rows of a frame of pandas, no more of them at once than it holds."""
    columns = list(frame.columns)
    return (
        dict(zip(columns, values, strict=True))
        for values in zip(*(frame[name] for name in columns), strict=True)
    )


def _of_rows(
    rows: Iterable[Mapping[str, Any]], columns: list[Any], domain: str, named: Mapping[str, str]
) -> Iterator[Entry]:
    """Entries of a table's rows."""
    for name, column in named.items():
        if column not in columns:
            there = ", ".join(map(str, columns[:12]))
            raise UserError(f"data has no column '{column}', as {name} says, but {there}")
    found = {name: named.get(name) or _column(name, columns) for name in TABLE}
    for name in ("path", "label"):
        if found[name] is None:
            others = ", ".join(OTHER_NAMES[name])
            raise UserError(
                f"data has no column '{name}' (nor {others}), but {', '.join(map(str, columns[:12]))}"
            )
    for number, row in enumerate(rows):
        values = {name: None if column is None else row[column] for name, column in found.items()}
        image = values["path"]
        if isinstance(image, Mapping):
            image = image.get("bytes") or image.get("path")
        label = values["label"]
        yield Entry(
            image,
            label if isinstance(label, str) else _label(label, None, number),
            domain if found["domain"] is None else _text(values["domain"]),
            _text(values["split"]),
            _group(values["group"]),
        )


def _column(name: str, columns: list[Any]) -> Any:
    """Column of a table that is called `name`, or else what that is also called; None where there is none.

    Raises:
        UserError: there are several of these.
    """
    for names in ((name,), OTHER_NAMES[name]):
        found = [column for column in columns if str(column).strip().lower() in names]
        if len(found) > 1:
            claims = ", ".join(map(str, found))
            raise UserError(f"data has {len(found)} columns for '{name}' ({claims}): leave out all but one")
        if found:
            return found[0]
    return None


def _text(value: Any) -> str:
    """Text of a cell, empty for a missing one."""
    try:
        missing = value is None or bool(value != value)  # noqa: PLR0124  # as NaN is not
    except TypeError:
        missing = True  # Of pandas' NA this is neither true nor false.
    return "" if missing else str(value)


def _group(value: Any) -> str:
    """Text of a group: frames turn whole numbers into others where one is missing, and 1.0 is group 1."""
    return _text(int(value) if isinstance(value, float | np.floating) and value.is_integer() else value)


# Written down ----------------------------------------------------------------------------------------------


def _written(kind: str, found: Iterable[Entry]) -> Path:
    """Write entries as a table beside their images; an undamaged table of the same is kept."""
    root = cache_part("objects")
    with writing_to_cache():
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".tmp-", dir=root))
    try:
        rows: list[list[str]] = []
        known: dict[str, str] = {}
        for number, entry in enumerate(islice(found, MOST_IMAGES + 1)):
            rows.append(_row(folder, known, number, entry))
        if len(rows) > MOST_IMAGES:
            raise UserError(f"refused: data has more than {MOST_IMAGES // 10**6} million items")
        if not rows:
            raise UserError(f"data is empty: hand over {TAKES}")
        digest = combine(*(part for row in rows for part in row))
        name = f"{kind}-{digest[:8]}"
        text = io.StringIO(newline="")
        csv.writer(text).writerows([TABLE, *rows])
        place = root / digest
        with writing_to_cache():
            (folder / f"{name}.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
            names = os.listdir(folder)
            same, *_ = filecmp.cmpfiles(place, folder, names, shallow=False)
            if len(same) < len(names):
                shutil.rmtree(place, ignore_errors=True)
                folder.rename(place)
        return place / f"{name}.csv"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _row(folder: Path, known: dict[str, str], number: int, entry: Entry) -> list[str]:
    """Row of an entry, whose image is written into a folder unless it is a file already."""
    texts = [entry.domain.strip(), entry.label.strip(), entry.group.strip(), entry.split.strip().lower()]
    for name, text in zip(TABLE[1:], texts, strict=True):
        if name in ("domain", "label") and not text:
            raise UserError(f"item {number} of data has no {name}")
        if len(text) > MOST_CHARACTERS // 4 or set("\n\r\0") & {*text}:
            raise UserError(f"the {name} of item {number} is no name: '{printable(text[:40])}'")
    if isinstance(entry.image, str | os.PathLike):
        path = os.path.abspath(os.path.expanduser(entry.image))
        if not os.path.isfile(path):
            raise UserError(f"item {number} of data: there is no file '{printable(path)}'")
        return [path, *texts]
    content = _encoded(entry.image, number)
    digest = hashlib.sha256(content).hexdigest()
    if digest not in known:
        known[digest] = f"{digest}.img"
        with writing_to_cache():
            (folder / known[digest]).write_bytes(content)
    return [known[digest], *texts]


def _encoded(image: Any, number: int) -> bytes:
    """Content of a file of an image: what it is already, or else a PNG, which loses nothing."""
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, Image.Image) and image.mode in NUMBERS:
        # Pillow would clip them to bytes.
        image = np.asarray(image)
    if not isinstance(image, Image.Image):
        pixels = _pixels(image, f"item {number} of data")
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    out = io.BytesIO()
    try:
        (image if image.mode in PNG_MODES else image.convert("RGB")).save(out, "PNG", compress_level=1)
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"item {number} of data cannot be read: {printable(str(error))}") from None
    return out.getvalue()


def _pixels(image: Any, what: str) -> np.ndarray:
    """Pixels of an array (height, width[, channels]) or a tensor (channels, height, width) as uint8."""
    as_numpy: Callable[[], Any] | None = getattr(image, "numpy", None)
    tensor = as_numpy is not None
    pixels = as_numpy() if as_numpy is not None else image
    if not isinstance(pixels, np.ndarray):
        raise UserError(
            f"{what} is a {type(image).__name__}: an image is one of Pillow, an array or a tensor"
        )
    pixels = pixels[..., None] if pixels.ndim == 2 else np.moveaxis(pixels, 0, -1) if tensor else pixels
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4) or not pixels.size:
        form = "(channels, height, width)" if tensor else "(height, width, channels)"
        raise UserError(
            f"{what} has the shape {tuple(image.shape)}: an image has {form} with 1, 3 or 4 channels"
        )
    if pixels.dtype == np.uint8:
        return pixels
    low, high = float(pixels.min()), float(pixels.max())
    if pixels.dtype.kind != "f" or not (low >= 0 and high <= 1):
        raise UserError(
            f"{what} holds {pixels.dtype} from {low:.3g} to {high:.3g}: hand over bytes, or floats from 0 to "
            "1; inputs are normalised later, so leave such a transform out"
        )
    return (pixels * 255).round().astype(np.uint8)
