"""One dataset in all the layouts it is handed on in: the same images, the same splits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.core.digest import seal, unseal
from bench.core.errors import UserError
from bench.data.card import Card
from bench.data.catalog import load_card
from bench.data.dataset import Dataset, open_dataset
from bench.data.sources.base import NameLookup
from bench.data.sources.folder import Folder
from bench.data.splits import SPLITS, draw_shots, splits
from tests.data.pictures import Picture, as_folders, as_shards, jpeg, pictures

DOMAINS, CLASSES = ["Art", "Real World"], ["Alarm_Clock", "Bed", "TV"]
CARD = Card(
    name="small-home",
    title="",
    description="",
    licence="",
    domains=DOMAINS,
    classes=CLASSES,
    fit="crop",
    sources=[Folder(type="folder", names=["HomeDataset_2016"])],
)


@pytest.fixture(scope="module")
def found() -> list[Picture]:
    return pictures(DOMAINS, CLASSES, 8)


def lists(root: Path, found: list[Picture]) -> Path:
    """TLlib's: spaces in neither folders nor lists, numbers behind the paths."""
    renamed = [(domain.replace(" ", "_"), *rest) for domain, *rest in found]
    as_folders(root, renamed)  # type: ignore[arg-type]
    (root / "image_list").mkdir()
    for domain in DOMAINS:
        name = domain.replace(" ", "_")
        lines = [
            f"{name}/{label}/{file} {CLASSES.index(label)}" for d, label, file, _ in found if d == domain
        ]
        (root / "image_list" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return root


LAYOUTS: dict[str, Callable[[Path, list[Picture]], object]] = {
    "the archive's folder": lambda root, found: as_folders(root / "HomeDataset_2016", found),
    "the domains' folders": as_folders,
    "two levels below": lambda root, found: as_folders(root / "downloads" / "small_home", found),
    "lists": lambda root, found: lists(root / "small-home", found),
    "shards": lambda root, found: as_shards(root / "small-home" / "data", reversed(found), 3),
    "underscores and lower case": lambda root, found: as_folders(
        root, [(d.replace(" ", "_").lower(), label.lower(), *rest) for d, label, *rest in found]
    ),
    "another level": lambda root, found: as_folders(root, found, "images"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_dataset_in_every_layout(
    layout: str, found: list[Picture], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = []
    for name in ("the domains' folders", layout):
        root = fresh / name.replace("'", "")
        root.mkdir(exist_ok=True)
        if not any(root.iterdir()):
            LAYOUTS[name](root, found)
        monkeypatch.setenv("BENCH_DATA", str(root))
        monkeypatch.setenv("BENCH_CACHE", str(fresh / f"cache {name}"))
        dataset = open_dataset(CARD)
        datasets.append((dataset, dataset.decoded("Real World", 16).copy()))
    (plain, pixels), (other, others) = datasets
    assert not other.warnings
    assert other.fingerprint == plain.fingerprint
    np.testing.assert_array_equal(others, pixels)
    for domain in DOMAINS:
        a, b = plain.domains[domain], other.domains[domain]
        assert (a.names, a.digests, len(a.names)) == (b.names, b.digests, 24)
        np.testing.assert_array_equal(splits(plain, a), splits(other, b))
        one = draw_shots(plain, domain, tuple(CLASSES), 2, 1)
        np.testing.assert_array_equal(one.rows, draw_shots(other, domain, tuple(CLASSES), 2, 1).rows)


def open_at(root: Path, monkeypatch: pytest.MonkeyPatch, card: Card = CARD) -> Dataset:
    monkeypatch.setenv("BENCH_DATA", str(root))
    return open_dataset(card)


def test_copies_are_one_group_in_every_domain(
    found: list[Picture], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_folders(fresh / "d", found)
    for number in range(6):
        shutil.copy(
            fresh / "d" / "Art" / "Bed" / f"0000{number + 1}.jpg",
            fresh / "d" / "Real World" / "Bed" / f"x{number}.jpg",
        )
    dataset = open_at(fresh / "d", monkeypatch)
    art, real = (dataset.domains[name] for name in DOMAINS)
    where = dict(zip(art.digests, splits(dataset, art), strict=True))
    shared = [(d, s) for d, s in zip(real.digests, splits(dataset, real), strict=True) if d in where]
    assert len(shared) == 6
    assert all(where[digest] == split for digest, split in shared)


def test_a_changed_copy_is_another_dataset(
    found: list[Picture], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_folders(fresh / "d", found)
    before = open_at(fresh / "d", monkeypatch)
    assert open_at(fresh / "d", monkeypatch).fingerprint == before.fingerprint
    (fresh / "d" / "Art" / "TV" / "new.jpg").write_bytes(jpeg(5))
    after = open_at(fresh / "d", monkeypatch)
    assert after.fingerprint != before.fingerprint
    assert len(after.domains["Art"].names) == 25


def test_what_is_no_image_is_passed_by(
    found: list[Picture], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_folders(fresh / "d", found)
    for name in ("Thumbs.db", "._00001.jpg", "notes.txt", ".DS_Store"):
        (fresh / "d" / "Art" / "TV" / name).write_bytes(b"x")
    (fresh / "d" / "Art" / "Teapot").mkdir()
    dataset = open_at(fresh / "d", monkeypatch)
    assert len(dataset.domains["Art"].names) == 24
    assert dataset.warnings == ("1 folders are no class of the card: Art/Teapot",)


def test_counts_and_missing_classes_are_warnings(
    found: list[Picture], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_folders(fresh / "d", [p for p in found if p[:2] != ("Art", "TV")])
    card = Card(**{**CARD.model_dump(), "expected": {"images": {"Art": 24, "Real World": 24}}})
    assert open_at(fresh / "d", monkeypatch, card).warnings == (
        "small-home/Art has 16 images; the card says 24",
        "small-home/Art has no image of TV",
    )


def test_a_copy_without_a_domain(found: list[Picture], fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_folders(fresh / "small-home", [p for p in found if p[0] == "Art"])
    dataset = open_at(fresh, monkeypatch)
    assert [*dataset.domains] == ["Art"]
    with pytest.raises(UserError, match="no images of small-home/Real World in folder small-home"):
        dataset.domain("Real World")


def test_official_lists_are_the_split(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DomainNet's: the test list is the test set, validation images come out of the training list."""
    card = load_card("domainnet")
    classes = card.classes[:3]
    found = pictures(["clipart", "real"], classes, 12)
    root = fresh / "DomainNet"
    as_folders(root, found)
    for domain in ("clipart", "real"):
        for split, wanted in (("train", range(1, 10)), ("test", range(10, 13))):
            lines = [
                f"{d}/{label}/{name} {classes.index(label)}"
                for d, label, name, _ in found
                if d == domain and int(name[:5]) in wanted
            ]
            (root / f"{domain}_{split}.txt").write_text("\n".join(lines))
    # A training image that is also a test image must not be trained on.
    shutil.copy(root / "real" / classes[0] / "00010.jpg", root / "real" / classes[0] / "00001.jpg")
    dataset = open_at(fresh, monkeypatch, card)
    for name in ("clipart", "real"):
        domain = dataset.domains[name]
        split = splits(dataset, domain)
        named = dict(zip([place.name for place, _ in domain.places], split, strict=True))
        for label in range(3):
            mine = domain.labels == label
            files = [path.name for (path, _), here in zip(domain.places, mine, strict=True) if here]
            tested = {f for f, s in zip(files, split[mine], strict=True) if s == SPLITS.index("test")}
            assert tested == {"00010.jpg", "00011.jpg", "00012.jpg"}
            assert SPLITS.index("validation") in split[mine]
        assert named
    real = dataset.domains["real"]
    row = [path.parts[-2:] for path, _ in real.places].index((classes[0], "00001.jpg"))
    assert splits(dataset, real)[row] == -1


def test_a_list_that_names_no_class(
    found: list[Picture], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = lists(fresh / "small-home", found)
    with (root / "image_list" / "Art.txt").open("a") as file:
        file.write("Art/Kettle/1.jpg 4\n")
    with pytest.raises(UserError, match=r"Art.txt, line 25: folder 'Kettle' is no class of small-home"):
        open_at(fresh, monkeypatch)


def test_shards_with_numbers_that_nothing_names(
    found: list[Picture], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    as_shards(fresh / "small-home" / "data", found, 1)
    (file,) = fresh.glob("small-home/data/*.parquet")
    pq.write_table(pq.read_table(file).replace_schema_metadata({}), file)
    with pytest.raises(UserError, match="column 'label' holds numbers that nothing in the file names"):
        open_at(fresh, monkeypatch)


def test_shards_without_a_column(found: list[Picture], fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    as_shards(fresh / "small-home" / "data", found, 1)
    (file,) = fresh.glob("small-home/data/*.parquet")
    pq.write_table(pq.read_table(file).drop_columns(["domain"]), file)
    with pytest.raises(UserError, match="has no column 'domain', but image, label"):
        open_at(fresh, monkeypatch)


def test_the_index_is_kept_and_small(
    found: list[Picture], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_folders(fresh / "d", found)
    open_at(fresh / "d", monkeypatch)
    (path,) = (fresh / "cache" / "index").glob("*.json")
    index = json.loads(unseal(path.read_bytes()))
    index["domains"]["Art"][0][0] = "out of the index"
    path.write_bytes(seal(json.dumps(index).encode()))
    assert open_at(fresh / "d", monkeypatch).domains["Art"].names[0] == "out of the index"


def test_names() -> None:
    names = NameLookup(["Real World", "t-shirt"])
    assert names.get("real_world") == names.get("RealWorld") == "Real World"
    assert names.get("T-Shirt") == "t-shirt"
    assert names.get("Art") is None
