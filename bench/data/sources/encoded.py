"""Encoded images in files, rows of parquet shards and rows of arrays."""

from __future__ import annotations

import errno
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.errors import UserError
from bench.core.files import open_regular
from bench.data.sources.parquet import open_shard

Place = tuple[Path, int | None]
"""Place of an image: a file, or a container and the image's row in it."""
Encoded = Path | bytes | np.ndarray
"""Image that is not decoded yet: a file, its content, or an array (H, W[, C])."""

BATCH = 32
"""Rows per read of a parquet shard."""

OF_THE_FILE = {
    *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.ELOOP),
    *(errno.ENAMETOOLONG, errno.ENXIO),
}
"""Errors that say something about a file, and will be the same the next time."""

NOTHING = hashlib.sha256().hexdigest()
"""Digest of an image that is empty, or cannot be read."""

MOST_BYTES = 2**30
"""Largest file of an image in bytes, or row of a shard; larger ones are not read."""


def encoded_images(places: Iterable[Place]) -> Iterator[tuple[int, Encoded]]:
    """Read the images at places as (position, image); containers are read once, in order, row by row."""
    inside: dict[Path, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for position, (path, row) in enumerate(places):
        if row is None:
            yield position, path
        else:
            inside[path][row].append(position)
    for path, rows in inside.items():
        read = _parquet(path, rows) if path.suffix == ".parquet" else _array(path, rows)
        for row, content in read:
            for position in rows[row]:
                yield position, content


def one(place: Place) -> Encoded:
    """Read the image at a place."""
    return next(iter(encoded_images([place])))[1]


def _array(path: Path, rows: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    for row in sorted(rows):
        yield row, np.array(array[row])


def _parquet(path: Path, rows: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """Read rows of a shard: only row groups that hold one of them, and only a few rows at a time."""
    chosen = set(rows)
    with open_shard(path) as file:
        column = image_column(path, file.schema_arrow)
        start = 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if chosen.isdisjoint(range(start, start + count)):
                start += count
                continue
            for batch in file.iter_batches(BATCH, row_groups=[group], columns=[column]):
                content = batch.column(0).field("bytes")
                for place in range(len(content)):
                    if start + place in chosen:
                        yield start + place, content[place].as_py() or b""
                start += len(content)


def image_column(path: Path, schema: Any) -> str:
    """Find the column of a shard that holds images: structs of `bytes` and `path`.

    Raises:
        UserError: there is none.
    """
    import pyarrow as pa

    for field in schema:
        if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
            return str(field.name)
    raise UserError(f"{path} has no column of images (bytes and path), but {', '.join(schema.names)}")


def cannot_read(encoded: Path | bytes, error: OSError) -> UserError:
    """Error of what a disk or the process lacks now, which says nothing about an image."""
    name = encoded if isinstance(encoded, Path) else "an image of a table or an archive"
    return UserError(f"cannot read {name}: {error.strerror or error}; try again when the system can")


def digest(encoded: Encoded) -> str:
    """SHA-256 of the bytes that identify an image; of none where a file cannot be read or is too large."""
    if isinstance(encoded, Path):
        try:
            with open_regular(encoded) as file:
                if encoded.stat().st_size <= MOST_BYTES:
                    return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            if error.errno not in OF_THE_FILE:
                raise cannot_read(encoded, error) from None
        return NOTHING
    if isinstance(encoded, np.ndarray):
        return hashlib.sha256(repr(encoded.shape).encode() + encoded.tobytes()).hexdigest()
    return hashlib.sha256(encoded).hexdigest()
