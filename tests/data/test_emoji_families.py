"""Second version of the emoji: nothing alike in two splits; the first one is what it was."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from bench.data.card import CARDS
from bench.data.catalog import load_card
from bench.data.dataset import Dataset, open_dataset
from bench.data.splits import splits
from tests.data.emoji_families import family_name, names, table
from tests.support.checkout import bench


@pytest.fixture(scope="module")
def second() -> Dataset:
    return open_dataset(load_card("emoji-home@2"))


CARDS_WITH_FAMILIES = ("emoji-home@2", "open-emoji")


@pytest.fixture(scope="module", params=CARDS_WITH_FAMILIES)
def grouped(request: pytest.FixtureRequest) -> Dataset:
    return open_dataset(load_card(request.param))


@pytest.mark.parametrize("name", CARDS_WITH_FAMILIES)
def test_the_doctor_finds_nothing_wrong(name: str, tmp_path: Path) -> None:
    found = bench("data", "check", name, cwd=tmp_path)
    assert found.returncode == 0, found.stdout
    assert "fault" not in found.stdout
    assert "near duplicates in two splits" not in found.stdout


def test_no_group_is_in_two_splits(grouped: Dataset) -> None:
    where = defaultdict(set)
    for domain in grouped.domains.values():
        for group, split in zip(domain.groups.tolist(), splits(grouped, domain).tolist(), strict=True):
            where[group].add(split)
    assert len(where) == grouped.card.expected.groups
    assert {len(found) for found in where.values()} == {1}


def test_families_are_in_one_group(second: Dataset) -> None:
    """By Unicode's names: hearts of all colours, books, apples; no couple and no hour is left."""
    google, known = second.domains["google"], names()
    groups = dict(zip(google.names, google.groups.tolist(), strict=True))
    families = defaultdict(set)
    for code, group in groups.items():
        subgroup, name = known[code]
        families[subgroup, family_name(name)].add(group)
    assert {len(found) for found in families.values()} == {1}
    assert groups["2764"] == groups["1f499"] == groups["1f494"], "red, blue and broken hearts"
    assert groups["1f4d5"] == groups["1f4d7"], "closed and green books"
    assert groups["1f436"] != groups["1f431"], "dogs and cats"
    assert not {"family", "time"} & set(second.card.classes)


def test_every_class_has_nine_pictures_and_five_to_train_on(grouped: Dataset) -> None:
    assert grouped.warnings == ()
    for domain in grouped.domains.values():
        train = splits(grouped, domain) == 0
        for label in range(len(grouped.card.classes)):
            rows = domain.labels == label
            assert len(np.unique(domain.groups[rows])) >= 9
            assert (rows & train).sum() >= 5


def test_classes_are_largest_first(grouped: Dataset) -> None:
    sizes = np.bincount(grouped.domains["google"].labels)
    assert (np.diff(sizes) <= 0).all()


def test_the_first_version_is_what_it_was(emoji: Dataset) -> None:
    """As the committed records name it."""
    assert emoji.fingerprint == "7849f41026eb5282"
    assert np.bincount(splits(emoji, emoji.domains["google"])).tolist() == [685, 179, 290]


@pytest.mark.parametrize("name", CARDS_WITH_FAMILIES)
def test_the_table_is_what_the_images_and_names_say(name: str) -> None:
    assert (CARDS / f"{name}.tsv").read_text(encoding="utf-8") == table(name)


def test_open_pictures_are_nobody_elses() -> None:
    """No picture that may be shown is the file of a vendor whose pictures may not."""
    known = {domain: set(found) for domain, found in contents("emoji-home").items()}
    closed = set().union(*(found for domain, found in known.items() if domain not in ("google", "twitter")))
    for domain, found in contents("open-emoji").items():
        assert len(found) == 1003
        assert not closed & set(found), domain


def contents(name: str) -> dict[str, list[bytes]]:
    """Files of a card's domains."""
    dataset = open_dataset(load_card(name))
    return {name: [path.read_bytes() for path, _ in one.places] for name, one in dataset.domains.items()}
