"""Emoji out of a colour font that is made by hand: what is drawn, and what the font lacks."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image

from bench.core.errors import UserError
from bench.core.packages import Member
from bench.data.sources.base import Absent
from bench.data.sources.emoji.glyphs import SIDE, drawn

PATH = "toy_emoji/font.ttf"


def square(left: int, right: int) -> object:
    pen = TTGlyphPen(None)
    for index, point in enumerate([(left, 0), (left, 1000), (right, 1000), (right, 0)]):
        (pen.lineTo if index else pen.moveTo)(point)
    pen.closePath()
    return pen.glyph()


def font() -> bytes:
    """Two emoji, red, and blue in the left half; a joiner, and the ligature of all three, green."""
    names = [".notdef", "face", "box", "joiner", "both", "left", "whole"]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({0x1F600: "face", 0x1F4E6: "box", 0x200D: "joiner"})
    builder.setupGlyf({name: square(0, 500 if name == "left" else 1000) for name in names})
    widths = dict.fromkeys(names, 1000) | {".notdef": 700, "joiner": 0}
    builder.setupHorizontalMetrics({name: (width, 0) for name, width in widths.items()})
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": "Toy", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=1000, usWinAscent=1000)
    builder.setupPost()
    builder.setupCPAL([[(1, 0, 0, 1), (0, 0, 1, 1), (0, 1, 0, 1)]])
    builder.setupCOLR({"face": [("whole", 0)], "box": [("left", 1)], "both": [("whole", 2)]})
    builder.addOpenTypeFeatures("feature ccmp { sub face joiner box by both; } ccmp;")
    out = io.BytesIO()
    builder.save(out)
    return out.getvalue()


def member(content: bytes) -> Member:
    digest = hashlib.sha256(content).hexdigest()
    return Member(distribution="toy-emoji", version="1.0", path=PATH, sha256=digest)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Member:
    """The font, in a wheel in a cache of its own."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    folder = tmp_path / "downloads" / "toy-emoji-1.0"
    folder.mkdir(parents=True)
    content = font()
    with zipfile.ZipFile(folder / "toy_emoji-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(PATH, content)
    return member(content)


def test_emoji_are_drawn_in_their_colours_and_the_rest_is_left_out(toy: Member) -> None:
    codes = [("1F600",), ("1F4E6",), ("1F600", "200D", "1F4E6"), ("1F431",), ("1F4E6", "200D", "1F600")]
    folder = drawn(toy, codes, download=False)
    pictures = {path.stem: Image.open(path) for path in folder.iterdir()}
    assert set(pictures) == {"U+1F600", "U+1F4E6", "U+1F600-U+200D-U+1F4E6"}, "not what the font lacks"
    assert {picture.size for picture in pictures.values()} == {(SIDE, SIDE)}
    left, right, middle = SIDE // 4, 3 * SIDE // 4, SIDE // 2
    red, blue, green, white = (255, 0, 0), (0, 0, 255), (0, 255, 0), (255, 255, 255)
    colours = {name: [p.getpixel((x, middle)) for x in (left, right)] for name, p in pictures.items()}
    assert colours["U+1F600"] == [red, red]
    assert colours["U+1F4E6"] == [blue, white]
    assert colours["U+1F600-U+200D-U+1F4E6"] == [green, green]


def test_they_are_drawn_once(toy: Member) -> None:
    folder = drawn(toy, [("1F600",)], download=False)
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert drawn(toy, [("1F600",)], download=False) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    assert drawn(toy, [("1F600",), ("1F4E6",)], download=False) != folder, "other emoji, another folder"


def test_a_font_that_is_not_here_is_absent(toy: Member) -> None:
    other = toy.model_copy(update={"version": "2.0"})
    with pytest.raises(Absent, match=r"toy-emoji 2\.0 is not here: pip install toy-emoji==2\.0"):
        drawn(other, [("1F600",)], download=False)


def test_what_is_no_font_is_one_line(toy: Member) -> None:
    path = next(toy.folder.glob("*.whl"))
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(PATH, b"no font")
    with pytest.raises(UserError, match="a font of emoji cannot be read"):
        drawn(member(b"no font"), [("1F600",)], download=False)
