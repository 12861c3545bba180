"""Layouts of image datasets on disk: folders of classes, lists of files, parquet shards."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from bench.core.digest import combine
from bench.core.errors import UserError
from bench.data.sources.base import NameLookup, SourceRequest, normalised
from bench.data.sources.encoded import image_column
from bench.data.sources.item import Item

SUFFIXES = frozenset(
    ".jpg .jpeg .jfif .png .webp .bmp .gif .tif .tiff .ppm .pgm .avif .jp2".split()  # noqa: SIM905
)
"""Suffixes of files that are taken for images; only the decoder can tell whether they are."""

Items = dict[str, list[Item]]


def subfolders(folder: Path) -> list[Path]:
    """List the folders in a folder, in order of their names, without hidden ones."""
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []
    return sorted(Path(entry.path) for entry in entries)


def image_files(folder: Path) -> Iterator[Path]:
    """List image files at any depth below a folder, without the `._*` files that some archives carry."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield Path(root, name)


def class_folders(root: Path, request: SourceRequest) -> tuple[Items, list[str]]:
    """Read `<domain>/<class>/*`, `<domain>/images/<class>/*`, or `<class>/*` where there is one domain.

    Returns the items and, as warnings, folders that are none of the card's classes.
    """
    domains, classes = NameLookup(request.domains), NameLookup(request.classes)
    of_domain = {name: path for path in subfolders(root) if (name := domains.get(path.name))}
    if not of_domain and len(request.domains) == 1:
        of_domain = {request.domains[0]: root}
    items: Items = {}
    unknown = []
    for domain, folder in of_domain.items():
        inside = subfolders(folder)
        if [normalised(path.name) for path in inside] == ["images"]:
            inside = subfolders(inside[0])
        listed = []
        for path in inside:
            label = classes.get(path.name)
            if label is None:
                unknown.append(f"{domain}/{path.name}")
                continue
            listed += [Item("", label, "", file) for file in image_files(path)]
        if listed:
            items[domain] = listed
    few = ", ".join(unknown[:5]) + (" and more" if len(unknown) > 5 else "")
    return items, [f"{len(unknown)} folders are no class of the card: {few}"] if unknown else []


def image_lists(root: Path, request: SourceRequest, official: bool) -> Items:
    """Read text files of `path label` lines, `image_list/<domain>.txt`; images are below `root`.

    With `official`, `<domain>_train.txt` and `<domain>_test.txt`, whose split is the dataset's own. The
    class is the name of the image's folder: numbers differ between lists.

    Raises:
        UserError: a line names no class of the card.
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
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
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


def shards(files: list[Path], request: SourceRequest, columns: dict[str, str]) -> Items:
    """Read parquet shards as on the Hugging Face hub: an image struct of `bytes` and `path`, domain, label.

    `columns` maps `domain` and `label` to the names of their columns; where `domain` is empty every image
    is of the only domain. Numbers in a label column are named by the shard's own metadata.

    Raises:
        UserError: a column is missing, or a name is none of the card's.
    """
    import pyarrow.parquet as pq

    domains, classes = NameLookup(request.domains), NameLookup(request.classes)
    items: Items = defaultdict(list)
    for file in files:
        schema = pq.read_schema(file)
        image_column(file, schema)
        missing = [name for name in columns.values() if name and name not in schema.names]
        if missing:
            raise UserError(f"{file} has no column '{missing[0]}', but {', '.join(schema.names)}")
        domain_names = _texts(file, columns["domain"]) if columns["domain"] else None
        for row, label in enumerate(_texts(file, columns["label"])):
            domain = domains.get(domain_names[row]) if domain_names else request.domains[0]
            class_name = classes.get(label)
            if domain is None or class_name is None:
                what = f"domain '{domain_names[row]}'" if domain is None and domain_names else f"'{label}'"
                raise UserError(f"{file}, row {row}: {what} is none of {request.name}'s")
            items[domain].append(Item("", class_name, "", file, row))
    return dict(items)


def _texts(file: Path, column: str) -> list[str]:
    """Read a column as names; numbers are named by the metadata that the hub's own library writes."""
    import json

    import pyarrow.parquet as pq

    values = pq.read_table(file, columns=[column]).column(column).to_pylist()
    if not values or isinstance(values[0], str):
        return [str(value) for value in values]
    try:
        features = json.loads((pq.read_schema(file).metadata or {})[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
        return [str(names[value]) for value in values]
    except (KeyError, TypeError, ValueError, IndexError):
        raise UserError(f"{file}: column '{column}' holds numbers that nothing in the file names") from None


def digest_of(paths: list[Path]) -> str:
    """Digest that changes when a file is added, removed, moved or written again. Reads no file."""
    parts = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            parts.append(f"{path} missing")
        else:
            parts.append(f"{path} {status.st_size} {status.st_mtime_ns}")
    return combine(*parts)
