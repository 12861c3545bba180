"""Sample images for the page, one row per domain."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Samples:
    """Images to show, filled in by the caller from the decode cache.

    images: by domain, (class name, uint8 (height, width, 3)).
    credits: by domain, whose work the images are and under which licence.
    """

    images: Mapping[str, Sequence[tuple[str, np.ndarray]]]
    credits: Mapping[str, str] = field(default_factory=dict)


def png_uri(image: np.ndarray) -> str:
    """A `data:` URI of an image, uint8 (height, width, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
