"""Datasets through the libraries that know them, on files in those libraries' own formats."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bench.core.errors import UserError
from bench.data.card import Card
from bench.data.catalog import card_names, load_card
from bench.data.dataset import open_dataset
from bench.data.sources import library
from bench.data.sources.library import Library, LibraryPart
from bench.data.splits import SPLITS, splits
from tests.data.pictures import jpeg
from tests.support.checkout import python


def card(domain: str, classes: list[str], *parts: LibraryPart) -> Card:
    return Card(
        name="toy",
        title="",
        description="",
        licence="",
        domains=[domain],
        classes=classes,
        sources=[Library(type="library", parts=list(parts))],
    )


def test_scikit_learns_digits_need_no_network(fresh: Path) -> None:
    dataset = open_dataset(load_card("digits"), download=False)
    assert [*dataset.domains] == ["optical"]
    assert any("mnist: MNIST is not here" in text for text in dataset.warnings)
    optical, real = dataset.domains["optical"], load_digits()
    assert np.bincount(optical.labels).tolist() == np.bincount(real.target).tolist()
    pixels = dataset.decoded("optical", 8)
    for row in (0, 700, 1796):
        number = optical.places[row][1]
        np.testing.assert_array_equal(pixels[row, :, :, 1], np.round(real.images[number] / 16 * 255))
        assert optical.labels[row] == real.target[number]
    with pytest.raises(UserError, match=r"no images of digits/svhn .*SVHN is not here"):
        dataset.domain("svhn")


def test_later_starts_need_no_library(fresh: Path) -> None:
    code = (
        "from bench.data.catalog import load_card\nfrom bench.data.dataset import open_dataset\nimport sys\n"
        "d = open_dataset(load_card('digits'), download=False)\n"
        "print(len(d.domains['optical'].names), 'sklearn' in sys.modules)"
    )
    first, second = (python("-c", code, cwd=fresh, BENCH_CACHE=str(fresh / "c")) for _ in range(2))
    assert first.stdout == "1797 True\n", first.stderr
    # What is not here is asked for each time; what is here is not.
    assert second.stdout == "1797 False\n"


def test_changed_labels_in_the_cache_are_made_anew(fresh: Path) -> None:
    found = open_dataset(load_card("digits"), download=False).domains["optical"]
    (note,) = (fresh / "cache" / "library").glob("*.json")
    before = note.read_text()
    note.write_text(before.replace("[0,1,2", "[5,1,2"))
    assert note.read_text() != before
    again = open_dataset(load_card("digits"), download=False).domains["optical"]
    assert again.digests == found.digests
    assert again.labels.tolist() == found.labels.tolist()
    assert note.read_text() == before


def test_a_damaged_array_in_the_cache_is_made_anew(fresh: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whether its file has another date, which has it listed anew, or the index is gone."""
    before = open_dataset(load_card("digits"), download=False)
    (array,) = (fresh / "cache" / "library").glob("*.npy")
    whole = array.read_bytes()
    for harm in (lambda: None, lambda: shutil.rmtree(fresh / "cache" / "index")):
        array.write_bytes(whole[:300] + bytes(64 * 500) + whole[300 + 64 * 500 :])
        harm()
        again = open_dataset(load_card("digits"), download=False)
        assert again.fingerprint == before.fingerprint
        assert array.read_bytes() == whole
    assert [record.message for record in caplog.records] == [f"damaged, and made anew: {array}"] * 2


def test_other_code_makes_other_arrays(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of the old code are stale, and those of the new are not to be of the old code's arrays."""
    open_dataset(load_card("digits"), download=False)
    monkeypatch.setattr(library, "code_digest", lambda *files: "other")
    open_dataset(load_card("digits"), download=False)
    assert len(list((fresh / "cache" / "library").glob("*.npy"))) == 2


def test_a_cards_classes_are_compared_with_those_of_what_is_kept(fresh: Path) -> None:
    """A card that is edited after its first use would name the images of one class by another."""
    part = LibraryPart(domain="optical", call="load_digits", module="sklearn.datasets")
    names = [str(number) for number in range(10)]
    assert len(open_dataset(card("optical", names, part)).domains["optical"].names) == 1797
    with pytest.raises(UserError, match="class 0 of load_digits is '0', of the card '9'"):
        open_dataset(card("optical", names[::-1], part))
    with pytest.raises(UserError, match="load_digits has 10 classes, the card 9"):
        open_dataset(card("optical", names[:-1], part))


def test_changed_pictures_of_a_library_are_listed_anew(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(fresh / "data"))
    folder = fresh / "data" / "eurosat" / "2750"
    for number, label in enumerate(("a", "b")):
        (folder / label).mkdir(parents=True)
        (folder / label / "1.jpg").write_bytes(jpeg(number))
    part = LibraryPart(domain="d", call="EuroSAT")
    before = open_dataset(card("d", ["a", "b"], part)).domains["d"].digests
    (folder / "b" / "1.jpg").write_bytes(jpeg(7))
    after = open_dataset(card("d", ["a", "b"], part)).domains["d"].digests
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False]


def test_arrays_of_mnists_format(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    raw = fresh / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    kept = {}
    for split, name, count in (("train", "train", 60), ("test", "t10k", 20)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        (raw / f"{name}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 2051, count, 28, 28) + images.tobytes()
        )
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, count) + labels.tobytes())
        kept[split] = images
    monkeypatch.setenv("BENCH_DATA", str(fresh / "data"))
    found = open_dataset(load_card("digits"), download=False)
    mnist = found.domains["mnist"]
    assert len(mnist.names) == 80
    split = splits(found, mnist)
    assert (split == SPLITS.index("test")).sum() == 20
    assert (split == SPLITS.index("validation")).sum() == 10
    for row in (3, 44):
        number = mnist.places[row][1]
        image = kept[mnist.published[row]][number]
        np.testing.assert_array_equal(found.decoded("mnist", 28)[row, :, :, 0], image)
        assert mnist.labels[row] == number % 10


def test_files_of_dtds_format(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fresh / "data" / "dtd" / "dtd"
    (root / "labels").mkdir(parents=True)
    for number, split in enumerate(("train", "val", "test")):
        lines = []
        for label in ("banded", "dotted"):
            (root / "images" / label).mkdir(parents=True, exist_ok=True)
            for i in range(4):
                name = f"{label}/{label}_{number}{i}.jpg"
                (root / "images" / name).write_bytes(jpeg(number * 100 + i + 10 * (label == "dotted")))
                lines.append(name)
        (root / "labels" / f"{split}1.txt").write_text("\n".join(lines))
    monkeypatch.setenv("BENCH_DATA", str(fresh / "data"))
    parts = [
        LibraryPart(domain="dtd", call="DTD", split=name, arguments={"split": short})  # type: ignore[arg-type]
        for name, short in (("train", "train"), ("validation", "val"), ("test", "test"))
    ]
    dataset = open_dataset(card("dtd", ["banded", "dotted"], *parts), download=False)
    dtd = dataset.domains["dtd"]
    assert {path.suffix for path, _ in dtd.places} == {".jpg"}
    assert np.bincount(splits(dataset, dtd)).tolist() == [8, 8, 8]
    assert all(
        path.parent.name == dataset.card.classes[label]
        for (path, _), label in zip(dtd.places, dtd.labels, strict=True)
    )
    other = [part.model_copy(update={"domain": "d"}) for part in parts]
    with pytest.raises(UserError, match="class 0 of DTD is 'banded', of the card 'dotted'"):
        open_dataset(card("d", ["dotted", "banded"], *other), download=False)
    with pytest.raises(UserError, match="DTD has 2 classes, the card 3"):
        open_dataset(
            card("dtd", ["a", "b", "c"], *[p.model_copy(update={"split": ""}) for p in parts]), download=False
        )


def test_what_no_folder_has(fresh: Path) -> None:
    with pytest.raises(UserError, match="Food101 is not here"):
        open_dataset(load_card("food101"), download=False)


def test_every_call_of_the_cards_exists() -> None:
    import importlib

    for name in card_names():
        for source in load_card(name).sources:
            if isinstance(source, Library):
                for part in source.parts:
                    assert part.domain in load_card(name).domains
                    if part.module != "medmnist":
                        assert callable(getattr(importlib.import_module(part.module), part.call))
