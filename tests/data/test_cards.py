"""What the cards say of complete copies adds up."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from bench.core.errors import UserError
from bench.data.card import Card
from bench.data.catalog import card_names, load_card
from bench.data.dataset import open_dataset
from bench.data.doctor.examine import examine
from bench.data.sources.folder import Folder
from tests.data.pictures import as_folders, pictures

TOTALS = {
    "cifar10": (10, 60_000),
    "cifar100": (100, 60_000),
    "credit": (2, 30_000),
    "digits": (10, 70_000 + 9_298 + 99_289 + 1_797),
    "digits-home": (10, 2 * 5_000 + 1_797),
    "domainnet": (345, 409_832 + 176_743),
    "dtd": (47, 5_640),
    "emoji-corruptions": (55, 4 * 1_154),
    "emoji-home": (55, 7 * 1_154),
    "emoji-home@2": (48, 7 * 1_009),
    "eurosat": (10, 27_000),
    "fgvc-aircraft": (100, 10_000),
    "flowers102": (102, 1_020 + 1_020 + 6_149),
    "food101": (101, 101_000),
    "medmnist": (11, 58_830 + 23_583 + 25_211),
    "mhc-binding": (2, 31_267),
    "office-31": (31, 4_110),
    "office-home": (65, 15_588),
    "open-emoji": (48, 3 * 1_003),
    "oxford-iiit-pet": (37, 3_680 + 3_669),
    "pacs": (7, 9_991),
    "peptides": (2, 6_706),
    "reviews": (2, 3_362 + 2_943 + 10_043 + 2_788),
    "spoken-words": (20, 13 * 480),
}
"""Classes and images, as published for the whole."""


@pytest.mark.parametrize("name", card_names())
def test_domains_add_up_to_what_is_published(name: str) -> None:
    card = load_card(name)
    images = [card.expected_images(domain) or 0 for domain in card.clean_domains]
    assert (len(card.classes), sum(images)) == TOTALS[name]
    for domain, count in zip(card.clean_domains, images, strict=True):
        assert sum(card.expected_classes(domain) or [count]) == count


def toy(**expected: object) -> Card:
    return Card(
        name="toy",
        title="",
        description="",
        licence="",
        domains=["photo"],
        classes=["cat", "dog"],
        expected=expected,  # type: ignore[arg-type]
        sources=[Folder(type="folder")],
    )


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ({"images": 7, "per_class": 4}, "8 images in 2 classes, but 7"),
        ({"images": 8, "per_class": {"photo": [4, 3]}}, "7 images in 2 classes, but 8"),
        ({"images": 8, "per_class": {"photo": [4, 3, 1]}}, "in 3 classes"),
        ({"images": {"phto": 8}}, "'phto' is not one of photo"),
    ],
)
def test_counts_that_do_not_add_up(expected: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        toy(**expected)


def test_the_doctor_counts_classes(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = toy(images=8, per_class={"photo": [3, 5]})
    as_folders(fresh / "toy", pictures(["photo"], card.classes, 4))
    monkeypatch.setenv("BENCH_DATA", str(fresh))
    (finding,) = [found for found in examine(open_dataset(card)).findings if found.kind == "class counts"]
    assert finding.level == "fault"
    assert finding.images == ("cat: 4 images; the card says 3", "dog: 4 images; the card says 5")


def test_a_domain_that_was_left_out_is_told_with_its_reason() -> None:
    card = load_card("emoji-home").model_copy(update={"notes": ["not read: 8 without a class (yard/1.jpg)"]})
    card.check_domain("google")
    with pytest.raises(UserError, match=r"unknown domain of emoji-home 'yard': not read: 8 without a class"):
        card.check_domain("yard")
    with pytest.raises(UserError, match="'gogle': did you mean 'google'"):
        card.check_domain("gogle")
