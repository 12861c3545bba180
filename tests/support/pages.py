"""Pages of results as a reader sees them."""

from __future__ import annotations

import re

MARKUP = r"data:image/|</?image\b|img-src"
"""What a page has of images that is no word of it."""


def of_images(text: str) -> list[str]:
    """Places of a page, or of what a command prints, that speak of images."""
    return re.findall(r".{0,40}\bimages?\b.{0,40}", re.sub(MARKUP, "", text), flags=re.IGNORECASE)
