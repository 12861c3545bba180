"""Datasets of torch, of the Hugging Face library and frames as tables of one's own images."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder

from bench.core.errors import UserError
from bench.data.catalog import load_card
from bench.data.dataset import Dataset as Opened
from bench.data.dataset import open_dataset
from bench.data.objects import as_own_data as own_data_of
from bench.data.own import own_card
from bench.data.sources.manifest import read_manifest
from tests.data.pictures import as_folders, jpeg, pictures

CLASSES = ["bolt", "nut"]
datasets = importlib.import_module("datasets")
"""The Hugging Face library; a folder of ours has its name, and holds no Python."""


def as_own_data(data: Any, **said: Any) -> Path:
    return own_data_of(data, **said).place


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def colours(each: int = 4, shade: int = 0) -> np.ndarray:
    """uint8 (2 * each, 8, 8, 3): every image of one colour, all different, classes in turn."""
    images = np.zeros((2 * each, 8, 8, 3), np.uint8)
    images[..., 0] = (10 * np.arange(2 * each) + shade)[:, None, None]
    return images


LABELS = [0, 1] * 4
GREY = np.zeros((8, 8), np.uint8)


class Mine(Dataset[Any]):
    classes = CLASSES

    def __init__(self, images: Any, labels: Any = tuple(LABELS)) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> Any:
        return self.images[number], self.labels[number]


def opened(table: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    monkeypatch.setenv("BENCH_OWN_DATA", str(table))
    return open_dataset(load_card(own_card(table).name))


def reds(dataset: Opened, domain: str) -> dict[int, str]:
    """Class by red value, of images as they are decoded."""
    images, names = dataset.domain(domain), dataset.card.classes
    pixels = dataset.decoded(domain, 8)
    return {int(p[4, 4, 0]): names[label] for p, label in zip(pixels, images.labels, strict=True)}


EXPECTED = {10 * number: CLASSES[number % 2] for number in range(8)}


def pil(images: np.ndarray) -> list[Image.Image]:
    return [Image.fromarray(image) for image in images]


def chw(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        Mine(colours()),
        Mine(pil(colours())),
        Mine(chw(colours())),
        Mine(chw(colours()).float() / 255),
        Mine([png(image) for image in colours()]),
        Mine(chw(colours()), torch.tensor(LABELS)),
        Mine(colours(), [CLASSES[label] for label in LABELS]),
        Subset(Mine(np.concatenate([colours(), colours()]), LABELS * 2), range(8)),
        pd.DataFrame({"image": pil(colours()), "label": [CLASSES[label] for label in LABELS]}),
    ],
    ids=["array", "pillow", "tensor", "floats", "files", "labels", "texts", "subset", "frame"],
)
def test_pixels_and_classes_are_those_of_the_object(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(data).__name__.lower()
    dataset = opened(as_own_data(data), monkeypatch)
    assert dataset.card.name.startswith(f"{kind}-")
    assert sorted(dataset.card.classes) == CLASSES
    assert reds(dataset, kind) == EXPECTED


def test_numbers_name_classes_without_names() -> None:
    table = as_own_data(TensorDataset(chw(colours()), torch.tensor(LABELS)))
    assert {row["label"] for row in read_manifest(table)} == {"0", "1"}


def test_the_same_has_the_same_name_and_is_written_once(own_cache: Path) -> None:
    first, again = as_own_data(Mine(colours())), as_own_data(Mine(pil(colours())))
    other = as_own_data(Mine(colours(shade=1)))
    assert first == again != other
    assert own_cache / "objects" in first.parents
    assert len([*(own_cache / "objects").iterdir()]) == 2


def test_a_dictionary_is_of_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    table = as_own_data({"shop": Mine(colours()), "site, new": Mine(colours(shade=100))})
    dataset = opened(table, monkeypatch)
    assert [*dataset.domains] == ["shop", "site, new"]
    assert reds(dataset, "shop") == EXPECTED
    assert reds(dataset, "site, new") == {red + 100: name for red, name in EXPECTED.items()}


def test_a_stream_has_no_length() -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            return zip(colours(), LABELS, strict=True)

    assert len(read_manifest(as_own_data(Stream()))) == 8


def test_an_image_folder_is_not_copied(tmp_path: Path, own_cache: Path) -> None:
    root = as_folders(tmp_path, pictures(["shop"], CLASSES, 3)) / "shop"
    table = as_own_data(ImageFolder(str(root)))
    rows = read_manifest(table)
    assert {Path(row["path"]).parent.name for row in rows} == {row["label"] for row in rows} == {*CLASSES}
    assert [path.name for path in table.parent.iterdir()] == [table.name]
    changed = as_own_data(ImageFolder(str(root), transform=lambda image: image.convert("L")))
    assert len([*changed.parent.iterdir()]) == 7, "a transform makes other images"


class Relabelled(ImageFolder):
    def __getitem__(self, index: int) -> Any:
        image, label = super().__getitem__(index)
        return image, 1 - label


class Fewer(Dataset[Any]):
    """A dataset of somebody's own, which keeps a list of all files and hands out some, cut."""

    classes = CLASSES

    def __init__(self, root: Path) -> None:
        self.samples = ImageFolder(str(root)).samples

    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> Any:
        path, label = self.samples[number]
        return Image.open(path).convert("RGB").crop((0, 0, 2, 2)), label


def test_items_are_what_a_dataset_says_they_are(tmp_path: Path) -> None:
    """Whatever its list of files is called: its class may leave some out, cut them, or label them anew."""
    root = as_folders(tmp_path, pictures(["shop"], CLASSES, 3)) / "shop"
    table = as_own_data(Fewer(root))
    rows = read_manifest(table)
    assert [row["label"] for row in rows] == ["bolt"] * 3 + ["nut"]
    assert {Image.open(table.parent / row["path"]).size for row in rows} == {(2, 2)}
    assert [row["label"] for row in read_manifest(as_own_data(Relabelled(str(root))))] == (
        ["nut"] * 3 + ["bolt"] * 3
    )
    cut = as_own_data(ImageFolder(str(root), loader=lambda path: Image.open(path).crop((0, 0, 2, 2))))
    assert Image.open(cut.parent / read_manifest(cut)[0]["path"]).size == (2, 2)


def test_a_group_is_the_same_in_all_frames(tmp_path: Path) -> None:
    """A frame with a missing value holds whole numbers as others; 1 and 1.0 are one group all the same."""
    frame = pd.DataFrame({"image": pil(colours()), "label": ["bolt", "nut"] * 4})
    whole, lacking = frame.assign(group=range(8)), frame.assign(group=[None, *range(1, 8)])
    halves = lacking.astype({"group": np.float32})
    assert lacking["group"].dtype == float
    nullable = lacking.astype({"group": "Int64"})
    rows = read_manifest(as_own_data({"a": whole, "b": lacking, "c": nullable, "d": halves}))
    assert [row["group"] for row in rows] == [*"01234567", *["", *"1234567"] * 3]


def hub(each: int = 4, **columns: Any) -> Any:
    features = {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=CLASSES),
        **{name: datasets.Value("string") for name in columns},
    }
    found = {"image": pil(colours(each)), "label": ([0, 1] * each), **columns}
    return datasets.Dataset.from_dict(found, features=datasets.Features(features))


def test_a_dataset_of_the_hubs_library(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = opened(as_own_data(hub(6, style=["photo"] * 6 + ["sketch"] * 6)), monkeypatch)
    expected = {10 * number: CLASSES[number % 2] for number in range(12)}
    assert reds(dataset, "photo") | reds(dataset, "sketch") == expected
    assert len(dataset.domain("photo").names) == 6


def test_published_splits_stay() -> None:
    parts = datasets.DatasetDict({"train": hub(4), "validation": hub(1), "test": hub(2)})
    rows = read_manifest(as_own_data(parts))
    assert [row["split"] for row in rows] == ["train"] * 8 + ["validation"] * 2 + ["test"] * 4
    assert {row["domain"] for row in rows} == {"datasetdict"}


def test_files_of_the_hubs_library_are_kept_as_they_are() -> None:
    content = jpeg(1)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    data = datasets.Dataset.from_dict({"image": [{"bytes": content}], "label": ["bolt"]}, features=features)
    (row,) = read_manifest(table := as_own_data(data))
    assert (table.parent / row["path"]).read_bytes() == content


def test_a_frame_of_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(as_folders(tmp_path, pictures(["shop", "site"], CLASSES, 3)))
    paths = sorted(Path().glob("s*/*/*.jpg"))
    frame = pd.DataFrame(
        {
            "filename": [str(path) for path in paths],
            "site": [path.parts[0] for path in paths],
            "category": [path.parts[1] for path in paths],
            "patient": [f"p{number // 2}" for number in range(12)],
        }
    )
    rows = read_manifest(as_own_data(frame))
    assert [Path(row["path"]) for row in rows] == [path.absolute() for path in paths]
    assert [row["group"] for row in rows[:3]] == ["p0", "p0", "p1"]
    assert opened(as_own_data(frame), monkeypatch).card.domains == ["shop", "site"]


def test_columns_of_a_frame_may_have_any_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"shot": [GREY, GREY + 1], "kind": ["bolt", "nut"], "where": ["shop", "site"]})
    named = {"image": "shot", "label": "kind", "domain": "where"}
    own = own_data_of(frame, named)
    assert not own.columns, "what is written has the usual names"
    assert [(row["label"], row["domain"]) for row in read_manifest(own.place)] == [
        ("bolt", "shop"),
        ("nut", "site"),
    ]
    with pytest.raises(UserError, match="data has no column 'sort', as label says, but shot, kind, where"):
        own_data_of(frame, {**named, "label": "sort"})
    with pytest.raises(UserError, match="label = 'kind' names a column of a table, and data is a Mine"):
        own_data_of(Mine(colours()), {"label": "kind"})


def test_a_frame_of_rows_is_a_table_as_it_is() -> None:
    frame = pd.DataFrame({"owed": [1.5, None], "late": [0, 1], "country": ["DE", "ES"]})
    own = own_data_of(frame, {"label": "late", "domain": "country"})
    assert own.columns == {"label": "late", "domain": "country"}
    pd.testing.assert_frame_equal(pd.read_csv(own.place), frame)
    assert own_data_of(frame.copy()).place == own.place
    texts = pd.DataFrame({"review": ["good"], "stars": [5], "shop": ["a"]})
    assert own_data_of(texts, {"text": "review"}).columns == {"text": "review"}


def test_a_folder_is_what_it_is(tmp_path: Path) -> None:
    assert as_own_data(str(tmp_path)) == as_own_data(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (3, "data is of type int: hand over a folder"),
        ({}, "an empty dictionary"),
        ({"a": "folder"}, r"data\['a'\] is a str: hand over a dataset"),
        (Mine([]), "data is empty"),
        ([GREY], r"item 0 of the dataset is a ndarray, no \(image, label\)"),
        ([(GREY, 1.5)], "the label of item 0 is a float: a text or a whole number"),
        ([(GREY, True)], "the label of item 0 is a bool"),
        ([(GREY, torch.eye(3)[0])], "the label of item 0 is a Tensor"),
        (Mine([GREY], [7]), "the label of item 0 is 7, but the dataset has 2 classes"),
        ([(GREY, " ")], "item 0 of data has no label"),
        ([(GREY, "a\nb")], r"the label of item 0 is no name: 'a\nb'"),
        ([("nowhere.png", "a")], "item 0 of data: there is no file '.*nowhere.png'"),
        ([(None, "a")], "item 0 of data is a NoneType: an image is one of Pillow"),
        ([(np.zeros((8, 8, 2), np.uint8), "a")], r"has the shape \(8, 8, 2\): an image has \(height"),
        ([(torch.zeros(8, 8, 3), "a")], r"has the shape \(8, 8, 3\): an image has \(channels"),
        ([(torch.full((3, 8, 8), -2.1), "a")], "float32 from -2.1 to -2.1: .* leave such a transform out"),
        ([(np.full((8, 8), np.nan), "a")], "float64 from nan to nan"),
        (pd.DataFrame({"picture": [GREY], "label": ["a"]}), "no column 'path' .*, but picture, label"),
        (
            pd.DataFrame([[GREY, "a", "b"]], columns=["image", "label", "label"]),
            r"2 columns for 'label' \(label, label\): leave out all but one",
        ),
        (pd.DataFrame({"image": [GREY], "class": ["a"], "category": ["b"]}), r"\(class, category\): leave"),
        (
            {"shop": pd.DataFrame({"image": [GREY], "label": ["a"], "style": ["old"]})},
            r"item 0 of data\['shop'\] is of domain 'old' by a column of its own: rename that column",
        ),
    ],
)
def test_what_is_no_dataset_of_images(data: Any, line: str, own_cache: Path) -> None:
    with pytest.raises(UserError, match=line):
        as_own_data(data)
    assert not [*own_cache.glob("objects/*")], "nothing is left behind"


def test_an_error_of_a_dataset_is_its_own() -> None:
    class Broken(Mine):
        def __getitem__(self, number: int) -> Any:
            raise FileNotFoundError("mine")

    with pytest.raises(FileNotFoundError, match="mine"):
        as_own_data(Broken(colours()))


@pytest.mark.parametrize("suffix", ["csv", "img"])
def test_a_damaged_copy_in_the_cache_is_written_anew(suffix: str) -> None:
    """A label or a pixel that is another is not the dataset that is handed over."""
    table = as_own_data(Mine(pil(colours())))
    whole = {path.name: path.read_bytes() for path in table.parent.iterdir()}
    harmed = sorted(table.parent.glob(f"*.{suffix}"))[0]
    harmed.write_bytes(harmed.read_bytes().replace(b"bolt", b"nut ", 1)[:-2] + b"..")
    assert as_own_data(Mine(pil(colours()))) == table
    assert {path.name: path.read_bytes() for path in table.parent.iterdir()} == whole


@pytest.mark.parametrize(
    ("kind", "scale", "line"),
    [(np.float32, 1 / 255, ""), (np.float32, 9, "floats from 0"), (np.int32, 1, "bytes")],
)
def test_numbers_of_32_bits_are_not_clipped(
    kind: type, scale: float, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow makes bytes of 60,000 by 255, and of 0.5 by 0."""
    images = [Image.fromarray((image[..., 0] * scale).astype(kind)) for image in colours()]
    if line:
        with pytest.raises(UserError, match=line):
            as_own_data(Mine(images))
    else:
        assert reds(opened(as_own_data(Mine(images)), monkeypatch), "mine") == EXPECTED
