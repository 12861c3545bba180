"""The doctor finds every fault that was planted, and none in a sound copy."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.card import Card
from bench.data.dataset import open_dataset
from bench.data.doctor.duplicates import near_pairs
from bench.data.doctor.examine import Diagnosis, examine
from bench.data.sources.folder import Folder
from tests.data.pictures import as_folders, jpeg, pictures
from tests.data.test_decode import png_header
from tests.support.checkout import bench

CARD = Card(
    name="ward",
    title="",
    description="",
    licence="",
    domains=["photo", "sketch"],
    classes=["cat", "dog", "fox"],
    expected={"images": 24},  # type: ignore[arg-type]
    sources=[Folder(type="folder")],
)


@pytest.fixture
def copy(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_DATA", str(fresh / "d"))
    return as_folders(fresh / "d", pictures(CARD.domains, CARD.classes, 8))


def empty(root: Path) -> None:
    (root / "photo/cat/00001.jpg").write_bytes(b"")


def truncated(root: Path) -> None:
    path = root / "photo/cat/00001.jpg"
    path.write_bytes(jpeg(1, (200, 200))[:-900])


def no_image(root: Path) -> None:
    (root / "sketch/dog/00002.jpg").write_text("<html>404 Not Found</html>")


def bomb(root: Path) -> None:
    (root / "sketch/dog/00002.jpg").write_bytes(png_header(12_000, 12_000))


def lost_images(root: Path) -> None:
    (root / "photo/fox/00008.jpg").unlink()


def lost_class(root: Path) -> None:
    shutil.rmtree(root / "sketch/fox")


def lost_domain(root: Path) -> None:
    shutil.rmtree(root / "sketch")


def unknown_class(root: Path) -> None:
    shutil.copytree(root / "photo/fox", root / "photo/wolf")


def two_classes(root: Path) -> None:
    shutil.copy(root / "photo/cat/00001.jpg", root / "photo/dog/00001.jpg")


def two_domains(root: Path) -> None:
    shutil.copy(root / "photo/cat/00001.jpg", root / "sketch/cat/00001.jpg")


def too_few(root: Path) -> None:
    for number in range(3, 9):
        (root / f"photo/fox/0000{number}.jpg").unlink()


def imbalance(root: Path) -> None:
    for number in range(40):
        (root / f"photo/cat/more{number}.jpg").write_bytes(jpeg(70_000 + number))
    for number in range(5, 9):
        (root / f"photo/fox/0000{number}.jpg").unlink()


def near(root: Path) -> None:
    """Every photo of a cat saved again, at another quality and size: some of them in another split."""
    for path in list((root / "photo/cat").iterdir()):
        image = Image.open(path)
        out = io.BytesIO()
        image.resize((image.width * 2, image.height * 2)).save(out, "JPEG", quality=70)
        path.with_name(f"again-{path.name}").write_bytes(out.getvalue())


def twice(root: Path) -> None:
    shutil.copy(root / "photo/cat/00001.jpg", root / "photo/cat/copy.jpg")


def tiny(root: Path) -> None:
    (root / "photo/cat/00001.jpg").write_bytes(jpeg(9, (8, 8)))


def broken_link(root: Path) -> None:
    (root / "photo/cat/00001.jpg").unlink()
    (root / "photo/cat/00001.jpg").symlink_to(root / "nowhere.jpg")


PLANTED: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "empty file": (empty, "fault", "photo: cat/00001.jpg"),
    "truncated": (truncated, "fault", "photo: cat/00001.jpg"),
    "unreadable": (no_image, "fault", "sketch: dog/00002.jpg"),
    "too large": (bomb, "fault", "12000 × 12000"),
    "file missing": (broken_link, "fault", "photo: cat/00001.jpg"),
    "counts": (lost_images, "fault", "ward/photo has 23 images; the card says 24"),
    "class missing": (lost_class, "fault", "sketch has no image of fox"),
    "domain missing": (lost_domain, "fault", "no images of domain sketch"),
    "folders": (unknown_class, "fault", "photo/wolf"),
    "one image, two classes": (two_classes, "fault", "photo: dog/00001.jpg"),
    "copies in two domains": (two_domains, "fault", "sketch: cat/00001.jpg"),
    "too few images": (too_few, "fault", "fox (2)"),
    "class imbalance": (imbalance, "fault", "48 of cat, 4 of fox"),
    "near duplicates in two splits": (near, "fault", "again-"),
    "copies": (twice, "note", "photo: cat/copy.jpg"),
    "tiny images": (tiny, "note", "photo: cat/00001.jpg (8 × 8)"),
}


def found(diagnosis: Diagnosis) -> dict[str, str]:
    return {finding.kind: "\n".join([finding.message, *finding.images]) for finding in diagnosis.findings}


def test_a_sound_copy(copy: Path) -> None:
    diagnosis = examine(open_dataset(CARD))
    assert diagnosis.healthy
    assert diagnosis.findings == []
    assert diagnosis.domains[0] == {
        "domain": "photo",
        "images": 24,
        "expected": 24,
        "classes": 3,
        "smallest": 8,
        "largest": 8,
        "width": 48.0,
        "height": 36.0,
    }


@pytest.mark.parametrize("kind", PLANTED)
def test_every_planted_fault_is_found_and_named(kind: str, copy: Path) -> None:
    plant, level, named = PLANTED[kind]
    plant(copy)
    diagnosis = examine(open_dataset(CARD))
    assert named in found(diagnosis)[kind]
    (finding,) = [finding for finding in diagnosis.findings if finding.kind == kind]
    assert finding.level == level
    assert not diagnosis.healthy or level == "note"


def test_all_at_once(copy: Path) -> None:
    together = (no_image, lost_class, unknown_class, two_classes, near)
    for plant in together:
        plant(copy)
    kinds = {kind for kind, (plant, _, _) in PLANTED.items() if plant in together}
    assert kinds <= set(found(examine(open_dataset(CARD))))


def test_near_pairs_are_all_pairs_within_the_distance() -> None:
    """Against every pair, counted bit by bit."""
    random = np.random.default_rng(3)
    values = [int(value) for value in random.integers(0, 2**63, 40, dtype=np.int64)]
    values += [
        value ^ sum(1 << int(bit) for bit in random.permutation(64)[: i % 8])
        for i, value in enumerate(values)
    ]
    hashes = {("a", place): value for place, value in enumerate(values)}
    expected = {
        (i, j)
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if bin(values[i] ^ values[j]).count("1") <= 4
    }
    assert {(a[1], b[1]) for a, b in near_pairs(hashes)} == expected
    assert len(expected) > 15


def test_from_the_command_line(copy: Path, fresh: Path) -> None:
    environment = {"BENCH_CACHE": str(fresh / "cache")}
    sound = bench("data", "check", "--data", str(copy), cwd=fresh, **environment)
    assert sound.returncode == 0, sound.stderr
    assert "nothing is wrong" in sound.stdout
    no_image(copy)
    two_classes(copy)
    sick = bench("data", "check", "--data", str(copy), cwd=fresh, **environment)
    assert sick.returncode == 1
    assert "fault: unreadable: 1 image cannot be read" in sick.stdout
    told = bench("data", "check", "--json", "--data", str(copy), cwd=fresh, **environment)
    assert told.returncode == 1
    kinds = {finding["kind"] for finding in json.loads(told.stdout)["findings"]}
    assert {"unreadable", "one image, two classes"} <= kinds
