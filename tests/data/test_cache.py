"""The decode cache under concurrent runs, and rand-augment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.core.errors import UserError
from bench.data.catalog import load_card
from bench.data.dataset import Dataset, open_again, open_dataset
from bench.data.decoders.image import decode
from bench.data.own import own_card
from bench.data.splits import untaught
from bench.engine.training.inputs.image import ImageInputs, augmentation
from bench.processes.pool import in_threads
from bench.spec.cell import Scenario
from tests.data.pictures import as_folders, as_shards, pictures
from tests.support.checkout import ROOT

DECODE = """
import hashlib, sys
from pathlib import Path
from bench.data.dataset import open_dataset
from bench.data.own import own_card
d = open_dataset(own_card(Path(sys.argv[1])))
print(hashlib.sha256(d.decoded("a", 64).tobytes()).hexdigest())
"""


def test_runs_that_start_at_once_share_one_cache(fresh: Path) -> None:
    as_folders(fresh / "d", pictures(["a", "b"], ["x", "y"], 60))
    command = [sys.executable, "-c", DECODE, str(fresh / "d")]
    started = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outputs = {process.communicate(timeout=120)[0] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(outputs) == 1
    assert len(list((fresh / "cache" / "decoded").rglob("*.npy"))) == 1
    assert not list((fresh / "cache" / "decoded").rglob("*.partial"))


def test_every_row_is_its_own_image(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of shards are read in another order than they are kept in."""
    found = pictures(["a"], ["x", "y"], 30)
    as_folders(fresh / "d", found)
    dataset = open_dataset(own_card(fresh / "d"))
    as_shards(fresh / "s", reversed(found), 3, rows=7)
    from bench.data.card import Card
    from bench.data.sources.folder import Folder

    fields = {
        "title": "",
        "description": "",
        "licence": "",
        "fit": "crop",
        "domains": ["a"],
        "classes": ["x", "y"],
    }
    card = Card(name="s", sources=[Folder(type="folder", path=str(fresh / "s"))], **fields)
    shards = open_dataset(card)
    pixels = shards.decoded("a", 24)
    assert shards.domains["a"].digests == dataset.domains["a"].digests
    for row, (path, _) in enumerate(dataset.domains["a"].places):
        np.testing.assert_array_equal(pixels[row], decode(path, 24, "crop"))


CARD = """
title = "t"
description = "d"
licence = "l"
domains = [{}]
classes = ["x", "y"]

[[sources]]
type = "folder"
"""


def opened(place: Path) -> Dataset:
    own_card.cache_clear()
    return open_dataset(own_card(place))


def test_index_follows_lists_of_files(fresh: Path) -> None:
    as_folders(fresh / "d" / "pictures", pictures(["all"], ["x", "y"], 6))
    (fresh / "d" / "card.toml").write_text(CARD.format('"a", "b"'))
    files = sorted((fresh / "d" / "pictures").rglob("*.*"))
    for count in (4, 8):
        for domain, listed in (("a", files[:count]), ("b", files[count:])):
            lines = [f"{file.relative_to(fresh / 'd')} 0\n" for file in listed]
            (fresh / "d" / f"{domain}.txt").write_text("".join(lines))
        assert {name: len(d.names) for name, d in opened(fresh / "d").domains.items()} == {
            "a": count,
            "b": len(files) - count,
        }


def test_index_follows_names_of_domains(fresh: Path) -> None:
    as_folders(fresh / "d", pictures(["all"], ["x", "y"], 6))
    for path in (fresh / "d" / "all").iterdir():
        path.rename(fresh / "d" / path.name)
    (fresh / "d" / "all").rmdir()
    for name in ("a", "b"):
        (fresh / "d" / "card.toml").write_text(CARD.format(f'"{name}"'))
        assert [*opened(fresh / "d").domains] == [name]


def test_decoded_images_follow_the_classes_of_a_card(fresh: Path) -> None:
    """Of classes with as many images each, the decoded images have the same shape."""
    card = load_card("emoji-home")
    sizes = np.bincount(open_dataset(card).domains["google"].labels)
    largest = int(np.argmax(sizes))
    pair = next(same for size in np.unique(sizes) if len(same := np.flatnonzero(sizes == size)) > 1)[:2]
    for number in pair:
        classes = [card.classes[largest], card.classes[number]]
        dataset = open_dataset(card.model_copy(update={"classes": classes}))
        pixels = dataset.decoded("google", 16)
        for row, (path, _) in enumerate(dataset.domains["google"].places):
            np.testing.assert_array_equal(pixels[row], decode(path, 16, card.fit))


def test_image_that_changes_after_it_was_listed_is_not_decoded_as_what_was_listed(fresh: Path) -> None:
    as_folders(fresh / "d", pictures(["a", "b"], ["x", "y"], 6))
    dataset = opened(fresh / "d")
    path, _ = dataset.domains["a"].places[0]
    other, _ = dataset.domains["b"].places[0]
    listed = path.read_bytes()
    path.write_bytes(other.read_bytes())
    with pytest.raises(UserError, match=rf"{path.name}' is another item than was listed"):
        dataset.decoded("a", 16)
    path.write_bytes(listed)
    np.testing.assert_array_equal(opened(fresh / "d").decoded("a", 16)[0], decode(path, 16, "crop"))


def test_in_threads_keeps_the_order_and_passes_errors_on() -> None:
    assert list(in_threads(lambda x: x * x, range(1000))) == [x * x for x in range(1000)]

    def work(x: int) -> int:
        if x == 40:
            raise ValueError("forty")
        return x

    with pytest.raises(ValueError, match="forty"):
        list(in_threads(work, range(1000)))


@pytest.mark.parametrize("name", ["crop-flip", "resized-crop", "rand-augment"])
def test_each_image_is_augmented_by_its_own_draw_of_a_pure_stream(name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    inputs = ImageInputs(pixels, (0.5,) * 3, (0.5,) * 3, torch.device("cpu"), False, augmentation(name, 32))
    rows = np.zeros(12, dtype=np.int64)
    state = torch.get_rng_state()
    first, again, other = (inputs.take(rows, seed) for seed in (1, 1, 2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first, other)
    assert len({image.numpy().tobytes() for image in first}) > 6
    assert first.abs().max() <= 1.0
    torch.testing.assert_close(inputs.take(rows[:1]), inputs.take(rows[1:2]), rtol=0, atol=0)


def test_cells_on_the_same_images_open_them_once(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fresh / "d"
    as_folders(root, pictures(["a", "b"], ["x", "y"], 12))
    card = own_card(root)
    fingerprint = open_dataset(card).fingerprint
    first = open_again(card, fingerprint)
    assert first.fingerprint == fingerprint
    assert open_again(card, fingerprint) is first
    # Other images, other means of finding them, another card: nothing is taken for what it is not.
    monkeypatch.setenv("BENCH_SKIP_BAD", "1")
    other = open_again(card, fingerprint)
    assert other is not first
    assert open_again(card.model_copy(update={"task_seed": 1}), fingerprint).card.task_seed == 1
    next(path for path in sorted(root.rglob("*.jpg"))).unlink()
    changed = open_dataset(card).fingerprint
    assert changed != fingerprint
    assert open_again(card, changed).fingerprint == changed
    # One that is asked for and no longer there is opened as it is, and not kept under that name.
    assert open_again(card, fingerprint).fingerprint == changed
    assert open_again(card, fingerprint) is not open_again(card, fingerprint)


def test_a_file_that_changed_as_if_it_had_not(fresh: Path) -> None:
    """As many bytes and the same time of change, as where it could not be read before and now can be."""
    as_folders(fresh / "d", pictures(["a"], ["x", "y"], 12))
    card = own_card(fresh / "d")
    before = open_dataset(card).fingerprint
    path = min((fresh / "d").rglob("*.jpg"))
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert open_dataset(card).fingerprint != before


def test_damaged_pixels_and_index_are_made_anew(fresh: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever part of a file has changed: no number is computed of it, and a line says so."""
    as_folders(fresh / "d", pictures(["a"], ["x", "y"], 12))
    card = own_card(fresh / "d")
    dataset = open_dataset(card)
    right = np.array(dataset.decoded("a", 16))
    path = dataset.decoded_path("a", 16)
    whole = path.read_bytes()
    three_quarters = whole[: len(whole) // 4] + bytes(len(whole) - len(whole) // 4)
    cut, longer = whole[:-1], whole + b"x"
    flipped = []
    for bit in range(3, 8 * len(whole), 8 * len(whole) // 40):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        flipped.append(bytes(changed))
    for content in (three_quarters, cut, longer, b"", b"garbage", *flipped):
        caplog.clear()
        time.sleep(0.01)  # A file's time of change has steps of some milliseconds.
        path.write_bytes(content)
        np.testing.assert_array_equal(dataset.decoded("a", 16), right)
        assert [r.getMessage() for r in caplog.records] == [
            f"decoded images were damaged and are made anew: {path}"
        ]
        assert path.read_bytes() == whole
    caplog.clear()
    dataset.decoded("a", 16)
    assert not caplog.records
    (index,) = (fresh / "cache" / "index").glob("*.json")
    listed = index.read_text()
    index.write_text(listed.replace('"x"', '"y"', 1))
    assert open_dataset(card).fingerprint == dataset.fingerprint
    assert index.read_text() == listed


def test_classes_without_a_training_image_are_named(fresh: Path) -> None:
    """What counts is groups: copies of one image are one."""
    found = pictures(["a", "b"], ["x", "y", "z"], 6)
    as_folders(fresh / "d", [(*p[:3], found[12][3]) if p[:2] == ("a", "z") else p for p in found])
    dataset = open_dataset(own_card(fresh / "d"))
    plain: dict[str, object] = {"kind": "cross-domain", "dataset": dataset.card.name, "shots": 0}
    every = ("x", "y", "z")
    from_a = Scenario(**plain, source="a", source_classes=every, target="b", target_classes=every)
    (text,) = untaught(dataset, from_a)
    assert "classes of" in text
    assert text.endswith("three groups of related images: z (1 of 3)")
    from_b = from_a.model_copy(update={"source": "b", "target": "a"})
    assert untaught(dataset, from_b) == ()
    assert untaught(dataset, from_b.model_copy(update={"shots": "all"})) == (text,)
    few = from_a.model_copy(update={"source_classes": every[:2], "target_classes": every[:2]})
    assert untaught(dataset, few) == ()
