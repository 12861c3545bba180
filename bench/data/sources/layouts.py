"""Layouts of image datasets on disk: folders of classes, lists of files, parquet shards."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.digest import combine
from bench.core.errors import UserError
from bench.core.files import open_regular
from bench.data.sources.base import NameLookup, SourceRequest, normalised, state_of
from bench.data.sources.encoded import image_column
from bench.data.sources.item import Item
from bench.data.sources.parquet import check_rows, column_values, open_shard
from bench.data.sources.walk import Unread, walk

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

Items = dict[str, list[Item]]


MOST_BYTES = 2**28
"""Largest list of files in bytes."""


def subfolders(folder: Path) -> list[Path]:
    """List the folders in a folder, in order of their names, without hidden ones."""
    try:
        entries = [
            entry for entry in os.scandir(folder) if not entry.name.startswith(".") and is_folder(entry)
        ]
    except OSError:
        return []
    return sorted(Path(entry.path) for entry in entries)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return True for a folder, or a link to one; a link that leads back to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def image_files(folder: Path, unread: Unread) -> Iterator[Path]:
    """List image files at any depth below a folder; counts what is not read."""
    for file in walk(folder):
        if unread.note(file):
            yield folder / file.inside


def class_folders(root: Path, request: SourceRequest) -> tuple[Items, list[str]]:
    """Read `<domain>/<class>/*`, `<domain>/images/<class>/*`, or `<class>/*` where there is one domain.

    Returns the items and, as warnings, folders that are none of the card's classes, folders that are the same
    class, and files that are not read.
    """
    domains, classes = NameLookup(request.domains), NameLookup(request.classes)
    of_domain = {name: path for path in subfolders(root) if (name := domains.get(path.name))}
    if not of_domain and len(request.domains) == 1:
        of_domain = {request.domains[0]: root}
    items: Items = {}
    unknown, twice, unread = [], [], Unread()
    for domain, folder in of_domain.items():
        inside = subfolders(folder)
        if [normalised(path.name) for path in inside] == ["images"]:
            inside = subfolders(inside[0])
        listed = []
        known: dict[str, Path] = {}
        for path in inside:
            label = classes.get(path.name)
            if label is None:
                unknown.append(f"{domain}/{path.name}")
                continue
            if (first := known.setdefault(label, path)) != path:
                twice.append(f"{domain}/{first.name} and {path.name} are both class {label}")
            listed += [Item("", label, "", file) for file in image_files(path, unread)]
        if listed:
            items[domain] = listed
    warnings = [f"{len(unknown)} folders are no class of the card: {few(unknown)}"] if unknown else []
    warnings += [f"names alike: {text}" for text in twice]
    return items, warnings + ([f"not read: {unread.text}"] if unread.text else [])


def few(names: list[str], most: int = 5) -> str:
    """Join the first names, and say whether there are more."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def image_lists(root: Path, request: SourceRequest, official: bool) -> Items:
    """Read text files of `path label` lines, `image_list/<domain>.txt`; images are below `root`.

    With `official`, `<domain>_train.txt` and `<domain>_test.txt`, whose split is the dataset's own. The
    class is the name of the image's folder: numbers differ between lists.

    Raises:
        UserError: a list cannot be read, or a line names no class of the card.
    """
    domains, classes = NameLookup(request.domains), NameLookup(request.classes)
    items: Items = defaultdict(list)
    for file in sorted([*root.glob("*.txt"), *root.glob("image_list/*.txt")]):
        stem, split = file.stem, ""
        if official:
            stem, _, split = file.stem.rpartition("_")
            if split not in ("train", "test"):
                continue
        domain = domains.get(stem)
        if domain is None:
            continue
        for number, line in enumerate(_lines(file), 1):
            if not line.strip():
                continue
            path = root / line.rsplit(maxsplit=1)[0]
            label = classes.get(path.parent.name)
            if label is None:
                raise UserError(
                    f"{file}, line {number}: folder '{path.parent.name}' is no class of {request.name}"
                )
            items[domain].append(Item("", label, "", path, split=split))
    return dict(items)


def _lines(file: Path) -> list[str]:
    try:
        with open_regular(file) as content:
            text = content.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise UserError(f"refused: {file} has more than {MOST_BYTES >> 20} MiB")
        return text.decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the list {file}: {error}") from None


def shards(files: list[Path], request: SourceRequest, columns: dict[str, str]) -> Items:
    """Read parquet shards as on the Hugging Face hub: an image struct of `bytes` and `path`, domain, label.

    `columns` maps `domain` and `label` to the names of their columns; where `domain` is empty every image
    is of the only domain. Numbers in a label column are named by the shard's own metadata.

    Raises:
        UserError: a column is missing, or a name is none of the card's.
    """
    domains, classes = NameLookup(request.domains), NameLookup(request.classes)
    items: Items = defaultdict(list)
    total = 0
    for file in files:
        with open_shard(file) as shard:
            total += shard.metadata.num_rows
            check_rows(file.parent, total)
            names = shard.schema_arrow.names
            image_column(file, shard.schema_arrow)
            missing = [name for name in columns.values() if name and name not in names]
            if missing:
                raise UserError(f"{file} has no column '{missing[0]}', but {', '.join(names)}")
            domain_names = _texts(file, shard, columns["domain"]) if columns["domain"] else None
            labels = _texts(file, shard, columns["label"])
        for row, label in enumerate(labels):
            domain = domains.get(domain_names[row]) if domain_names else request.domains[0]
            class_name = classes.get(label)
            if domain is None or class_name is None:
                what = f"domain '{domain_names[row]}'" if domain is None and domain_names else f"'{label}'"
                raise UserError(f"{file}, row {row}: {what} is none of {request.name}'s")
            items[domain].append(Item("", class_name, "", file, row))
    return dict(items)


def _texts(file: Path, shard: ParquetFile, column: str) -> list[str]:
    """Read a column as names; numbers are named by the metadata that the hub's own library writes."""
    import json

    values = column_values(shard, column)
    if not values or isinstance(values[0], str):
        return [str(value) for value in values]
    try:
        features = json.loads((shard.schema_arrow.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
        return [str(names[value]) for value in values]
    except (KeyError, TypeError, ValueError, IndexError, RecursionError):
        raise UserError(f"{file}: column '{column}' holds numbers that nothing in the file names") from None


def states_in(folder: Path) -> str:
    """Digest that changes when a file of a folder is written again, or the folder moved. Reads no file."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        found = []
    return combine(str(folder), *sorted(f"{name} {state_of(status)}" for name, status in found))


def digest_of(items: Items) -> str:
    """Digest that changes when an item does, or its file is moved or written again. Reads no file."""
    parts = [
        "\0".join((domain, item.label, item.group, item.split, str(item.path), str(item.row)))
        for domain, listed in items.items()
        for item in listed
    ]
    for path in sorted({item.path for listed in items.values() for item in listed}):
        # Folders above the copy may be named in another encoding.
        name = os.fsencode(path).decode("utf-8", "backslashreplace")
        try:
            status = path.stat()
        except OSError:
            parts.append(f"{name} missing")
        else:
            parts.append(f"{name} {state_of(status)}")
    return combine(*parts)
