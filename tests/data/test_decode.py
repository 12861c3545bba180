"""Images of every kind as a viewer shows them, against what Pillow or a formula says."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import UserError
from bench.data.decoders.base import Fit, Unreadable
from bench.data.decoders.image import decode


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def halves(size: tuple[int, int] = (40, 40)) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, "red")
    image.paste("blue", (size[0] // 2, 0, *size))
    return image


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_cameras_that_were_turned(orientation: int, undo: Image.Transpose) -> None:
    """The stored pixels are turned so that orientation turns them back."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = decode(encoded(halves().transpose(undo), exif=exif.tobytes()), 8)
    assert out[4, 0].tolist() == [255, 0, 0]
    assert out[4, 7].tolist() == [0, 0, 255]


def test_cmyk() -> None:
    out = decode(encoded(halves().convert("CMYK"), "JPEG", quality=95), 8)
    assert out[4, 0].astype(int) == pytest.approx([254, 0, 0], abs=4)


def test_sixteen_bits() -> None:
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16)[None].repeat(64, 0)
    out = decode(encoded(Image.fromarray(ramp)), 64)
    np.testing.assert_array_equal(out[3, :, 0], np.round(ramp[0] / 257).astype(np.uint8))
    assert out[0, 0].tolist() == [0, 0, 0]
    assert out[0, 63].tolist() == [255, 255, 255]


@pytest.mark.parametrize("most", [1.0, 255.0])
def test_floats(most: float) -> None:
    values = np.linspace(0, most, 16, dtype=np.float32)[None].repeat(16, 0)
    out = decode(encoded(Image.fromarray(values), "TIFF"), 16)
    np.testing.assert_array_equal(out[0, :, 0], np.round(values[0] * 255 / most).astype(np.uint8))


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [
        (0, 4000, np.float32),
        (-1, 1, np.float32),
        (0, np.inf, np.float32),
        (-9, 9, np.int32),
        (0, 2**17, np.int32),
    ],
)
def test_numbers_of_other_ranges_are_not_clipped(low: float, high: float, kind: type) -> None:
    """All above a range would be white, and all below black, whatever they show."""
    values = np.array([[low, high]] * 2).astype(kind)
    with pytest.raises(Unreadable, match=r"numbers from .* are read: convert them"):
        decode(encoded(Image.fromarray(values), "TIFF"), 16)


@pytest.mark.parametrize("mode", ["L", "1", "P", "YCbCr"])
def test_modes(mode: str) -> None:
    image = halves().convert(mode)
    kind = "JPEG" if mode == "YCbCr" else "PNG"
    expected = np.asarray(image.convert("RGB"))[20, 5].astype(int)
    assert decode(encoded(image, kind), 40)[20, 5].astype(int) == pytest.approx(expected, abs=3)


def test_grey_with_alpha() -> None:
    out = decode(encoded(Image.new("LA", (4, 4), (0, 64))), 4)
    assert abs(out[0, 0].astype(int) - (255 - 64)).max() <= 1


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    out = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), 8)
    assert out[0, 0].tolist() == [255, 0, 0]


def test_arrays() -> None:
    assert decode(np.full((4, 4), 7, np.uint8), 4)[0, 0].tolist() == [7, 7, 7]
    assert decode(np.full((4, 4, 3), (1, 2, 3), np.uint8), 4)[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("fit", "corner", "middle"),
    [
        ("pad", [255, 255, 255], [255, 0, 0]),
        ("crop", [255, 0, 0], [255, 0, 0]),
        ("squash", [255, 0, 0], [255, 0, 0]),
    ],
)
def test_fits(fit: Fit, corner: list[int], middle: list[int]) -> None:
    """80 × 20: red on the left, blue on the right."""
    out = decode(encoded(halves((80, 20))), 16, fit)
    assert out.shape == (16, 16, 3)
    assert out[0, 0].tolist() == corner
    assert out[8, 2].tolist() == middle
    assert out[8, 13].tolist() == [0, 0, 255]


def test_crop_keeps_the_middle() -> None:
    image = Image.new("RGB", (60, 20), "red")
    image.paste("lime", (20, 0, 40, 20))
    np.testing.assert_array_equal(decode(encoded(image), 20, "crop"), np.full((20, 20, 3), (0, 255, 0)))


def test_large_images_are_close_to_one_exact_resampling() -> None:
    random = np.random.default_rng(0)
    small = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    image = small.resize((2400, 1800), Image.Resampling.BICUBIC)
    middle = image.crop((300, 0, 2100, 1800))
    exact = np.asarray(middle.resize((64, 64), Image.Resampling.BICUBIC)).astype(int)
    for content in (encoded(image), encoded(image, "JPEG", quality=95)):
        assert np.abs(decode(content, 64, "crop").astype(int) - exact).mean() < 3


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(12_000, 12_000), (20_000, 20_000), (60_000, 60_000), (100_001, 1000)])
def test_bombs_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=r"cannot read image: .*100 million"):
        decode(png_header(*size), 32)


def test_a_strip_does_not_become_a_huge_square() -> None:
    out = decode(encoded(Image.new("RGB", (1, 60_000), "red")), 16)
    assert out.shape == (16, 16, 3)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", bytes(999)])
def test_damage_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "image.jpg").write_bytes(content)
    for image in (content, tmp_path / "image.jpg"):
        with pytest.raises(UserError, match=r"cannot read image") as caught:
            decode(image, 8)
        assert "\n" not in str(caught.value)
        assert ("empty" in str(caught.value)) == (not content)
