"""Emoji out of a colour font in a pinned distribution, drawn once into the cache."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageDraw, ImageFont, features

from bench.core.digest import code_digest, combine, package_version
from bench.core.errors import UserError
from bench.core.packages import Member, NotHere
from bench.core.paths import cache_part, writing_to_cache
from bench.data.sources.base import Absent

CodePoints = tuple[str, ...]

SIDE = 72
"""Pixels of a picture, as the packages of emoji have them."""
KNOWN = "\N{GRINNING FACE}"
"""An emoji that every such font draws: its advance is that of all, but not of what the font lacks."""


def drawn(font: Member, codes: Iterable[CodePoints], download: bool) -> Path:
    """Folder of a font's emoji as `U+XXXX[-U+YYYY].png` on white; made where the cache lacks it.

    Emoji that the font lacks are left out: of several code points, those that it does not draw as one.

    Raises:
        Absent: the font is not here, and not to be fetched or cannot be.
        UserError: it is no colour font of emoji, or the cache cannot be written.
    """
    codes = sorted(codes)
    # Another release of Pillow may draw edges otherwise.
    parts = (code_digest("data/sources/emoji/glyphs.py"), font.sha256, str(package_version("pillow")))
    folder = cache_part("library") / f"glyphs-{combine(*parts, *map('-'.join, codes))}"
    if folder.is_dir():
        return folder
    try:
        face = _face(font.read(download))
    except NotHere as reason:
        raise Absent(str(reason)) from None
    with writing_to_cache():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=".glyphs-") as temporary:
            made = Path(temporary, "made")
            made.mkdir()
            _draw(face, codes, made)
            # Another process may have been faster: a folder that holds something is not replaced.
            with contextlib.suppress(FileExistsError):
                made.rename(folder)
    return folder


def _face(content: bytes) -> ImageFont.FreeTypeFont:
    """Open a font at the size whose emoji are `SIDE` wide."""
    # Without it several code points would be drawn beside each other, and none be found.
    if not features.check("raqm"):
        raise UserError(
            "Pillow was built without raqm, which emoji of several code points need: pip install pillow"
        )
    try:
        large = ImageFont.truetype(io.BytesIO(content), 1000)
        return large.font_variant(size=1000 * SIDE / large.getlength(KNOWN))
    except (OSError, ValueError, ZeroDivisionError) as error:
        raise UserError(f"a font of emoji cannot be read: {error}") from None


def _draw(face: ImageFont.FreeTypeFont, codes: Iterable[CodePoints], folder: Path) -> None:
    for code in codes:
        text = "".join(chr(int(point, 16)) for point in code)
        if abs(face.getlength(text) - face.getlength(KNOWN)) > 0.5:
            continue
        image = Image.new("RGB", (SIDE, SIDE), "white")
        where = (SIDE / 2, SIDE / 2)
        ImageDraw.Draw(image).text(where, text, font=face, embedded_color=True, anchor="mm")
        image.save(folder / f"{'-'.join(f'U+{point}' for point in code)}.png")
