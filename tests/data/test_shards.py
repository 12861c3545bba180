"""Datasets of a hub: parquet shards as one table of texts, files or rows, fetched or in a folder."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.io import wavfile

from bench.core.errors import UserError
from bench.data.card import Card
from bench.data.dataset import open_dataset
from bench.data.doctor.examine import examine
from bench.data.objects import as_own_data
from bench.data.own import own_card
from bench.data.sources.shards.fetching import shards_at
from bench.data.splits import SPLITS, splits

pytestmark = pytest.mark.usefixtures("fresh")
FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(folder: Path, shards: dict[str, dict[str, object]], names: list[str] | None = None) -> Path:
    """Shards as the hub's library writes them; `names` are those of the classes that `label` numbers."""
    for name, columns in shards.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        table = pa.table(columns)
        if names:
            features = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
            table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
        pq.write_table(table, folder / name)
    return folder


def texts(folder: Path) -> Path:
    """Twenty reviews, of which four are for testing."""
    train = {"text": [f"film {n}" for n in range(16)], "label": [n % 2 for n in range(16)]}
    test = {"text": [f"play {n}" for n in range(4)], "label": [n % 2 for n in range(4)]}
    shards = {"data/train-00000-of-00001.parquet": train, "data/test-00000-of-00001.parquet": test}
    return write(folder / "films", shards, ["bad", "good"])


def card_of(folder: Path, **columns: str) -> Card:
    own_card.cache_clear()
    return own_card(shards_at(f"hf:{folder}")[0], None, tuple(columns.items()))


def test_texts_of_shards(fresh: Path) -> None:
    card = card_of(texts(fresh))
    assert (card.name, card.modality, card.domains, card.classes) == (
        "films",
        "text",
        ["films"],
        ["bad", "good"],
    )
    assert card.notes == ["one domain: no column says which, and --domain names one; there are text, label"]
    dataset = open_dataset(card)
    assert dataset.origin == "shards films"
    found = splits(dataset, dataset.domains["films"])
    assert np.bincount(found)[SPLITS.index("test")] == 4, "shards say in their names what they are for"
    assert "one domain" in {finding.kind for finding in examine(dataset).findings}
    assert as_own_data(f"hf:{fresh / 'films'}").place.stem == "films"


def test_columns_of_texts_are_named(fresh: Path) -> None:
    rows = {"words": [f"w {n}" for n in range(12)], "mood": ["x", "y"] * 6, "place": ["a"] * 6 + ["b"] * 6}
    card = card_of(write(fresh / "d", {"all.parquet": rows}), text="words", label="mood", domain="place")
    assert (card.modality, card.domains, card.notes) == ("text", ["a", "b"], [])


def picture(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (20, 20), (shade, 0, 0)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("inside", [True, False])
def test_images_of_shards(fresh: Path, inside: bool) -> None:
    contents = [picture(shade) for shade in range(0, 240, 10)]
    files = [{"bytes": content, "path": None} for content in contents]
    other = [{"bytes": picture(255), "path": None}] * 24
    columns = {
        "other": pa.array(other, FILE),
        "photo": pa.array(files, FILE) if inside else pa.array(contents, pa.binary()),
        "label": ["cat", "dog"] * 12,
        "domain": ["shop"] * 12 + ["site"] * 12,
    }
    halves = {f"{part}.parquet": {k: v[s] for k, v in columns.items()} for part, s in HALVES.items()}
    card = card_of(write(fresh / "d", halves), image="photo")
    assert (card.modality, card.domains, card.classes) == ("image", ["shop", "site"], ["cat", "dog"])
    dataset = open_dataset(card)
    shades = sorted(int(pixels[0, 0, 0]) for name in card.domains for pixels in dataset.decoded(name, 8))
    assert shades == [*range(0, 240, 10)]


HALVES = {"a": slice(0, 10), "b": slice(10, 24)}


def test_recordings_of_shards(fresh: Path) -> None:
    def sound(pitch: int) -> bytes:
        out = io.BytesIO()
        wavfile.write(out, 16_000, (3000 * np.sin(np.arange(1600) * pitch / 50)).astype(np.int16))
        return out.getvalue()

    files = [{"bytes": sound(pitch + 1), "path": "a.wav"} for pitch in range(8)]
    rows = {"audio": pa.array(files, FILE), "label": ["low", "high"] * 4}
    card = card_of(write(fresh / "d", {"train.parquet": rows}), audio="audio")
    assert card.modality == "audio"
    assert open_dataset(card).decoded("d", 100).shape == (8, 1600)


@pytest.mark.parametrize("item", ["text", "age"])
@pytest.mark.parametrize(
    ("name", "second", "said"),
    [
        (
            "group",
            [None, *(float(n) for n in range(1, 12))],
            "whole number in 'a.parquet' and of type double",
        ),
        ("label", [float(n % 2) for n in range(12)], "whole number in 'a.parquet' and of type double"),
        ("label", [n % 2 == 1 for n in range(12)], "whole number in 'a.parquet' and of type bool"),
        ("domain", None, "text in 'a.parquet' and no column in 'b.parquet'"),
    ],
)
def test_shards_say_the_same_in_columns_alike(
    fresh: Path, item: str, name: str, second: list[object] | None, said: str
) -> None:
    """Group 1 of one shard would be another than 1.0 of the next, and lie in another split."""
    first: dict[str, object] = {
        item: [n if item == "age" else f"t {n}" for n in range(12)],
        "label": [n % 2 for n in range(12)],
        "group": [*range(12)],
        "domain": ["x"] * 12,
    }
    other = {k: v for k, v in {**first, name: second}.items() if v is not None}
    folder = write(fresh / "d", {"a.parquet": first, "b.parquet": other})
    with pytest.raises(UserError, match=f"shards d: '{name}' is a {said}.*: write all of its files alike"):
        card_of(folder, group="group")
    write(folder, {"b.parquet": {**first, "group": pa.nulls(12)}})
    assert len(open_dataset(card_of(folder, group="group")).domains["x"].names) == 24


def test_rows_of_shards_are_those_of_one_table(fresh: Path) -> None:
    columns = {
        "age": [*range(23), None],
        "town": ["north", "south", "west"] * 8,
        "label": ["x", "y"] * 12,
        "domain": ["a"] * 12 + ["b"] * 12,
    }
    halves = {f"{part}.parquet": {k: v[s] for k, v in columns.items()} for part, s in HALVES.items()}
    many = open_dataset(card_of(write(fresh / "d", halves)))
    pq.write_table(pa.table(columns), fresh / "whole.parquet")
    own_card.cache_clear()
    one = open_dataset(own_card(fresh / "whole.parquet"))
    assert many.card.columns == one.card.columns
    assert many.fingerprint == one.fingerprint


def test_a_damaged_list_of_shards_is_written_anew(fresh: Path) -> None:
    name = f"hf:{texts(fresh)}"
    place, _ = shards_at(name)
    whole = place.read_bytes()
    for damage in (whole[:-5], whole.replace(b"train", b"trein"), b""):
        place.write_bytes(damage)
        assert shards_at(name)[0] == place
        assert place.read_bytes() == whole


def test_a_shard_that_changes_is_another_dataset(fresh: Path) -> None:
    folder = texts(fresh)
    first = open_dataset(card_of(folder)).fingerprint
    test = {"text": ["other"] * 4, "label": [0, 1, 0, 1]}
    write(folder, {"data/test-00000-of-00001.parquet": test}, ["bad", "good"])
    assert open_dataset(card_of(folder)).fingerprint != first


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"text": "txt"}, r"no column 'txt', as --text says: did you mean 'text'\?"),
        ({"label": "lable"}, r"no column 'lable', as --label says: did you mean 'label'\?"),
        ({"domain": "place"}, r"no column 'place', as --domain says"),
        ({"image": "text"}, r"column 'text' holds string, and images and recordings are bytes"),
        ({"image": "foto"}, r"no column 'foto'"),
        ({"image": "text", "text": "text"}, "--text and --image both say what the items are"),
    ],
)
def test_wrong_columns_are_one_line(fresh: Path, columns: dict[str, str], reason: str) -> None:
    with pytest.raises(UserError, match=reason) as raised:
        card_of(texts(fresh), **columns)
    assert "\n" not in str(raised.value)


def test_an_unlabelled_row_is_one_line(fresh: Path) -> None:
    rows = {"text": ["a", "b"], "label": [0, -1]}
    with pytest.raises(UserError, match=r"d/test\.parquet, line 3: 'label' is empty"):
        card_of(write(fresh / "d", {"test.parquet": rows}, ["bad", "good"]))


def test_what_is_no_repository_is_one_line(fresh: Path) -> None:
    (fresh / "empty").mkdir()
    for name, reason in {
        f"hf:{fresh / 'empty'}": "shards empty has no parquet files",
        "hf:not a name": r"neither hf:OWNER/NAME\[@REVISION\] nor hf: and a folder",
        "hf:../up": "neither",
    }.items():
        with pytest.raises(UserError, match=reason):
            shards_at(name)
