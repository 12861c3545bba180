"""Items for the page: a row per domain, and a picture of any class by name."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from bench.core.text import printable

THUMB = 40
"""Pixels of a class's picture beside its name."""


def none_at_hand(name: str) -> np.ndarray | None:
    """Finder that finds nothing."""
    return None


@dataclass(frozen=True)
class Samples:
    """Items to show, filled in by the caller from the decode cache.

    images: by domain, (class name, a picture uint8 (height, width, 3) or a text).
    credits: by domain, whose work the images are and under which licence.
    find: an image of a class, or None where there is none at hand.
    """

    images: Mapping[str, Sequence[tuple[str, np.ndarray | str]]]
    credits: Mapping[str, str] = field(default_factory=dict)
    find: Callable[[str], np.ndarray | None] = none_at_hand


SNIPPET = 240
"""Characters of a text that are shown."""


def shown(samples: Samples | None) -> list[dict[str, Any]]:
    """Items by domain as the page shows them: pictures as URIs, the beginnings of texts.

    Escaped by the template; control and bidirectional characters are written out.
    """
    if samples is None:
        return []
    return [
        {
            "domain": domain,
            "credit": samples.credits.get(domain, ""),
            "images": [
                {"name": name, "uri": png_uri(item), "height": item.shape[0], "width": item.shape[1]}
                for name, item in items
                if isinstance(item, np.ndarray)
            ],
            "texts": [(name, snippet(item)) for name, item in items if isinstance(item, str)],
        }
        for domain, items in samples.images.items()
    ]


def snippet(text: str) -> str:
    """Beginning of a text on one line, without characters that would change how others are shown."""
    line = " ".join(text.split())
    return printable(line[:SNIPPET] + ("…" if len(line) > SNIPPET else ""))


def thumbnails(samples: Samples | None, names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """(anchor, `data:` URI) of a small picture of each of these classes that has one, to be embedded once."""
    found: dict[str, tuple[str, str]] = {}
    for name in sorted(set(names)) if samples else ():
        image = samples.find(name) if samples else None
        if image is not None:
            small = Image.fromarray(np.ascontiguousarray(image))
            small.thumbnail((2 * THUMB, 2 * THUMB))  # twice, for screens with two pixels to one
            found[name] = f"picture-{len(found)}", _uri(small, "webp")
    return found


def png_uri(image: np.ndarray) -> str:
    """URI (`data:`) of an image, uint8 (height, width, 3)."""
    return _uri(Image.fromarray(np.ascontiguousarray(image)), "png")


def _uri(image: Image.Image, form: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **({"optimize": True} if form == "png" else {"quality": 80}))
    return f"data:image/{form};base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
