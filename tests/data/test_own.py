"""One's own images from the command line: folders, tables, cards, and what is wrong with them."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.errors import UserError
from bench.data.catalog import load_card
from bench.data.dataset import open_dataset
from bench.data.decoders.image import decode
from bench.data.own import own_card
from bench.data.splits import SPLITS, splits
from bench.records.store import Store
from bench.report.scores.frame import rerun_command
from tests.data.pictures import as_folders, jpeg, pictures
from tests.support.checkout import bench

SUITE = """
description = "Tiny."
image_size = 32
backbones = ["test_efficientnet.untrained"]
methods = ["linear-probe", "proto-net"]
budget = { steps = 8, batch_size = 8, evaluations = 2 }

[[scenarios]]
kind = "cross-domain"
shots = [2]

[[scenarios]]
kind = "cross-task"
shots = [2]
"""
CLASSES = ["bolt", "nut", "screw", "washer"]


@pytest.fixture
def mine(fresh: Path) -> Path:
    as_folders(fresh / "My parts", pictures(["shop", "site"], CLASSES, 8))
    (fresh / "tiny.toml").write_text(SUITE)
    return fresh / "My parts"


def run(mine: Path, *options: str, suite: str = "tiny.toml", data: Path | None = None) -> Any:
    where = ("--suite", suite, "--data", str(data or mine), "--results", "out")
    return bench("run", *where, *options, cwd=mine.parent, BENCH_CACHE=str(mine.parent / "cache"))


def records(mine: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (mine.parent / "out").glob("records/??/*.json")]


def across(mine: Path) -> dict[str, Any]:
    """The record of the one pair of domains."""
    (record,) = [r for r in records(mine) if r["request"]["cell"]["scenario"]["kind"] == "cross-domain"]
    return record


def test_a_folder_without_a_card(mine: Path) -> None:
    process = run(mine, "--source", "shop", "--target", "site", "--methods", "linear-probe")
    assert process.returncode == 0, process.stderr
    record = across(mine)
    scenario = record["request"]["cell"]["scenario"]
    assert (scenario["dataset"], scenario["source"], scenario["target"]) == ("my-parts", "shop", "site")
    assert sorted(scenario["target_classes"]) == CLASSES
    assert record["data_origin"] == "folder My parts"
    page = (mine.parent / "out" / "report.html").read_text()
    assert "my-parts" in page
    assert "folder My parts" in page
    assert str(mine) not in page


def test_the_suite_for_own_images_needs_no_name(mine: Path) -> None:
    plan = bench(
        "run", "--data", str(mine), "--source", "shop", "--target", "site", "--plan", cwd=mine.parent
    )
    assert plan.returncode == 0, plan.stderr
    assert "linear-probe shop → site 0-shot" in plan.stdout
    assert "site → shop" not in plan.stdout


def test_one_domain_is_enough_for_new_classes(mine: Path) -> None:
    shutil.rmtree(mine / "site")
    for folder in list((mine / "shop").iterdir()):
        folder.rename(mine / folder.name)
    (mine / "shop").rmdir()
    process = run(mine, "--methods", "linear-probe")
    assert process.returncode == 0, process.stderr
    (record,) = records(mine)
    scenario = record["request"]["cell"]["scenario"]
    assert (scenario["kind"], scenario["target"]) == ("cross-task", "My parts")
    assert not set(scenario["source_classes"]) & set(scenario["target_classes"])
    named = bench("run", "--data", str(mine), "--plan", cwd=mine.parent)
    assert "proto-net My parts → My parts" in named.stdout, named.stderr


def test_a_wrong_domain_is_suggested(mine: Path) -> None:
    process = run(mine, "--source", "shpo")
    assert process.returncode == 2
    assert "did you mean 'shop'" in process.stderr


WRONG = {
    "nothing there": (shutil.rmtree, "there is no"),
    "empty": (lambda root: [shutil.rmtree(path) for path in root.iterdir()], "no images in"),
    "no shared class": (
        lambda root: [(root / "site" / name).rename(root / "site" / f"x{name}") for name in CLASSES],
        "has 8 classes in 2 domains (shop, site), but 0 with 3 images or more in every domain",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_folders_that_will_not_do(what: str, mine: Path) -> None:
    spoil, words = WRONG[what]
    spoil(mine)
    process = run(mine)
    assert process.returncode == 2
    assert words in process.stderr
    assert len(process.stderr.splitlines()) == 1


def test_bad_images_stop_a_run_before_it_starts_or_are_left_out(mine: Path) -> None:
    (mine / "shop" / "nut" / "00003.jpg").write_bytes(b"")
    (mine / "site" / "bolt" / "00004.jpg").write_bytes(jpeg(1, (99, 99))[:-700])
    options = ("--source", "shop", "--target", "site", "--methods", "linear-probe")
    process = run(mine, *options)
    assert process.returncode == 2
    for words in ("nut/00003.jpg (empty)", "bolt/00004.jpg (", "--skip-bad", "data check"):
        assert words in process.stderr
    assert not records(mine)
    skipped = run(mine, *options, "--skip-bad")
    assert skipped.returncode == 0, skipped.stderr
    assert "2 unreadable images of my-parts are left out" in skipped.stderr
    for record in records(mine):
        assert "2 unreadable images of my-parts are left out" in " ".join(record["warnings"])
    page = (mine.parent / "out" / "report.html").read_text()
    assert "2 unreadable images of my-parts are left out" in page
    again = run(mine, *options, "--skip-bad")
    assert "0 to run" in again.stdout
    before = {record["key"]: record["evaluations"] for record in records(mine)}
    shutil.rmtree(mine.parent / "cache")
    shutil.rmtree(mine.parent / "out")
    at_once = run(mine, *options, "--skip-bad")
    assert "left out: shop: cannot read image nut/00003.jpg (empty)" in at_once.stderr
    assert {record["key"]: record["evaluations"] for record in records(mine)} == before


def table(mine: Path, **columns: Any) -> Path:
    rows = ["path,domain,label" + "".join(f",{name}" for name in columns)]
    for number, path in enumerate(sorted(mine.glob("*/*/*.jpg"))):
        domain, label, _ = path.relative_to(mine).parts
        cells = [
            f"{mine.name}/{path.relative_to(mine)}",
            domain,
            label,
            *(f(number, path) for f in columns.values()),
        ]
        rows.append(",".join(cells))
    out = mine.parent / "parts.csv"
    out.write_text("\n".join(rows) + "\n")
    return out


def test_a_table_gives_the_numbers_of_the_folder(mine: Path) -> None:
    file = table(mine)
    options = ("--source", "shop", "--target", "site", "--methods", "linear-probe")
    assert run(mine, *options).returncode == 0
    of_folder = across(mine)
    shutil.rmtree(mine.parent / "out")
    process = run(mine, *options, data=file)
    assert process.returncode == 0, process.stderr
    of_table = across(mine)
    assert of_table["evaluations"] == of_folder["evaluations"]
    assert of_table["predictions_sha256"]


def test_groups_stay_together_and_splits_hold(mine: Path) -> None:
    file = table(mine, group=lambda n, path: f"patient{n % 5}", split=lambda n, path: "")
    dataset = open_dataset(own_card(file))
    where = defaultdict(set)
    for domain in dataset.domains.values():
        for group, split in zip(domain.groups, splits(dataset, domain), strict=True):
            where[int(group)].add(int(split))
    assert len(where) == 5
    assert all(len(found) == 1 for found in where.values())
    own_card.cache_clear()
    file = table(mine, split=lambda n, path: "test" if path.stem in ("00001", "00002") else "train")
    dataset = open_dataset(own_card(file))
    shop = dataset.domains["shop"]
    tested = {
        path.stem
        for (path, _), split in zip(shop.places, splits(dataset, shop), strict=True)
        if split == SPLITS.index("test")
    }
    assert tested == {"00001", "00002"}
    assert np.bincount(splits(dataset, shop)).tolist() == [20, 4, 8]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,domain,kind\na.jpg,x,y\n", "has no column 'label'"),
        ("path,domain,label\na.jpg,x,\n", "line 2: 'label' is empty"),
        ("path,domain,label,split\na.jpg,x,y,dev\n", "line 2: split 'dev'"),
        ("path,domain,label\n", "lists no image"),
        ("", "cannot read the table"),
        ("path,domain,label\na.png,x,cat\nb, c.png,x,cat\n", "line 3: 4 cells, but the first line names 3"),
        ("path,domain,label,path\na.jpg,x,y,b.jpg\n", r"2 columns for 'path' \(path, path\)"),
        ("Path;filename;domain;label\na;b;x;y\n", r"2 columns for 'path' \(Path, filename\): remove or re"),
        ("path,domain,label,Class\na,x,y,z\n", r"2 columns for 'label' \(label, Class\)"),
        ("path,domain,label,patient,group\na,x,y,,\n", r"2 columns for 'group' \(patient, group\)"),
        ("path,domain,label\na\0b.png,x,cat\n", "line 2: a path holds no NUL"),
    ],
)
def test_tables_that_will_not_do(text: str, words: str, fresh: Path) -> None:
    (fresh / "t.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        own_card(fresh / "t.csv")


def test_domains_that_differ_in_case(fresh: Path) -> None:
    """They are kept apart in the cache too, also where a disk tells no capitals."""
    as_folders(fresh / "mine", pictures(["Photo", "photo"], ["cat", "dog"], 4))
    card = own_card(fresh / "mine")
    assert card.domains == ["Photo", "photo"]
    assert any("'Photo' and 'photo' are different domains" in note for note in card.notes)
    dataset = open_dataset(card)
    for name in card.domains:
        pixels = dataset.decoded(name, 16)
        for row, (path, _) in enumerate(dataset.domains[name].places):
            assert path.parent.parent.name == name
            np.testing.assert_array_equal(pixels[row], decode(path, 16, card.fit))
    kept = {dataset.decoded_path(name, 16).name.casefold() for name in card.domains}
    assert len(kept) == 2


def test_a_parquet_table(mine: Path) -> None:
    import pandas as pd

    file = table(mine)
    pd.read_csv(file).to_parquet(mine.parent / "parts.parquet")
    a, b = open_dataset(own_card(file)), open_dataset(own_card(mine.parent / "parts.parquet"))
    assert a.fingerprint == b.fingerprint
    twice = pd.read_csv(file)
    twice["filename"] = twice["path"]
    twice.to_parquet(mine.parent / "twice.parquet")
    with pytest.raises(UserError, match=r"2 columns for 'path' \(path, filename\)"):
        own_card(mine.parent / "twice.parquet")


def test_a_card_is_written_believed_and_checked(mine: Path) -> None:
    environment = {"BENCH_CACHE": str(mine.parent / "cache")}
    process = bench("data", "card", str(mine), cwd=mine.parent, **environment)
    assert process.returncode == 0, process.stderr
    card = mine / "card.toml"
    assert process.stdout.strip() == str(card)
    card.write_text(card.read_text().replace('title = "Own images: My parts"', 'title = "Parts of ours"'))
    assert own_card(mine).title == "Parts of ours"
    assert own_card(mine).expected_images("shop") == 32
    (mine / "shop" / "nut" / "00003.jpg").unlink()
    check = bench("data", "check", "--data", str(mine), cwd=mine.parent, **environment)
    assert check.returncode == 1
    assert "my-parts/shop has 31 images; the card says 32" in check.stdout
    twice = bench("data", "card", str(mine), cwd=mine.parent, **environment)
    assert twice.returncode == 2
    assert "is there already" in twice.stderr


def test_preview_is_escaped(mine: Path) -> None:
    (mine / "shop").rename(mine / "<b>shop")
    (mine / "site" / "nut" / "00001.jpg").write_bytes(b"")
    process = bench(
        "data", "preview", "--data", str(mine), cwd=mine.parent, BENCH_CACHE=str(mine.parent / "cache")
    )
    assert process.returncode == 0, process.stderr
    page = (mine.parent / "preview" / "index.html").read_text()
    assert "&lt;b&gt;shop" in page
    assert "<b>shop" not in page
    assert len(list((mine.parent / "preview").glob("*.png"))) == 2


def test_a_name_that_a_card_has(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_folders(fresh / "pacs", pictures(["a"], ["x", "y"], 3))
    monkeypatch.setenv("BENCH_OWN_DATA", str(fresh / "pacs"))
    assert load_card("pacs").title.startswith("PACS")
    assert load_card("pacs-own").domains == ["a"]


def test_a_cell_of_own_images_again(mine: Path) -> None:
    """The record's command, with the folder in FOLDER's place; no record or page says where that is."""
    assert run(mine, "--source", "shop", "--target", "site", "--methods", "linear-probe").returncode == 0
    key = across(mine)["key"]
    record = Store(mine.parent / "out").read(key)
    assert record is not None
    again = rerun_command(record)
    assert again == f"python -m bench run --cell {key} --data FOLDER"
    page = (mine.parent / "out" / "report.html").read_text()
    assert again in page
    assert f"their content has digest {across(mine)['digests']['dataset']}" in page
    assert str(mine.parent) not in page
    where: dict[str, Any] = {"cwd": mine.parent, "BENCH_CACHE": str(mine.parent / "cache")}
    same = bench("run", "--cell", key, "--data", str(mine), "--results", "out", **where)
    assert same.returncode == 0, same.stderr
    assert "other images" not in same.stderr
    alone = bench("run", "--cell", key, "--results", "out", **where)
    assert alone.returncode == 2
    assert "own images called 'my-parts': name their folder with --data FOLDER" in alone.stderr
    next(mine.rglob("*.jpg")).unlink()
    other = bench("run", "--cell", key, "--data", str(mine), "--results", "out", **where)
    assert "warning: other images than were recorded" in other.stderr


def test_a_record_that_stays_for_want_of_images_is_no_success(mine: Path) -> None:
    """Today's images are too few for the shots: the record that is there is about others."""
    (mine.parent / "tiny.toml").write_text(SUITE.partition('\n\n[[scenarios]]\nkind = "cross-task"')[0])
    few = ("--methods", "linear-probe", "--source", "shop", "--target", "site", "--shots", "4")
    assert run(mine, *few).returncode == 0
    before = across(mine)
    # Of the last class: larger ones come first, and other classes or another order would be another cell.
    for image in sorted((mine / "site" / CLASSES[-1]).iterdir())[:4]:
        image.unlink()
    # One that can be run, so that there is something to do.
    again = run(mine, *few[:-1], "0,4")
    assert again.returncode == 1, again.stderr
    assert "; its earlier record stays\n" in again.stderr
    assert before in records(mine)
