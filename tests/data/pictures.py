"""Images of the tests' own making, in the layouts in which datasets are handed on."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

Picture = tuple[str, str, str, bytes]
"""domain, class, file name, JPEG."""


def jpeg(seed: int, size: tuple[int, int] = (48, 36), shade: int = 128) -> bytes:
    """A photograph of nothing: smooth noise around a shade, every seed another."""
    random = np.random.default_rng(seed)
    small = np.clip(random.normal(shade, 50, (5, 6, 3)), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=88)
    return out.getvalue()


def pictures(domains: Iterable[str], classes: Iterable[str], each: int) -> list[Picture]:
    """The same number of images of every class in every domain."""
    classes = list(classes)
    return [
        (
            domain,
            label,
            f"{number + 1:05d}.jpg",
            jpeg(((d * 999 + c) * 999) + number, shade=40 + 160 * c // len(classes)),
        )
        for d, domain in enumerate(domains)
        for c, label in enumerate(classes)
        for number in range(each)
    ]


def as_folders(root: Path, found: Iterable[Picture], between: str = "") -> Path:
    """`<root>/<domain>/[<between>/]<class>/<file>`."""
    for domain, label, name, content in found:
        path = root / domain / between / label / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def as_shards(folder: Path, found: Iterable[Picture], shards: int = 2, rows: int = 10) -> Path:
    """Parquet shards as the hub's own library writes them; file names alone as paths, labels as numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = list(found)
    names = sorted({label for _, label, _, _ in found})
    features = {
        "image": {"_type": "Image"},
        "domain": {"dtype": "string", "_type": "Value"},
        "label": {"names": names, "_type": "ClassLabel"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(shards):
        part = found[number::shards]
        images = [{"bytes": content, "path": name} for _, _, name, content in part]
        struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table(
            {
                "image": pa.array(images, struct),
                "domain": [domain for domain, _, _, _ in part],
                "label": pa.array([names.index(label) for _, label, _, _ in part], pa.int64()),
            }
        ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        pq.write_table(table, folder / f"train-{number:05d}-of-{shards:05d}.parquet", row_group_size=rows)
    return folder
