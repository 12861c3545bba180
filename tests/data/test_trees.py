"""How a folder of one's own images is read: by where most of them lie, and what is said of it."""

from __future__ import annotations

import os
import shutil
import socket
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.data.card import Card
from bench.data.dataset import Dataset, open_dataset
from bench.data.doctor.examine import examine
from bench.data.own import own_card
from bench.data.sources.base import NameLookup
from bench.data.splits import SPLITS, splits
from tests.data.pictures import as_folders, jpeg, pictures
from tests.support.checkout import bench, python

DOMAINS, CLASSES = ["shop", "site"], ["bolt", "nut"]
EACH = 5


def files(root: Path, *folders: str, each: int = EACH, name: str = "{}.jpg") -> None:
    """Images of their own in each of these folders."""
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            content = jpeg(hash((folder, number)) % 2**32, (8, 6))
            (root / folder / name.format(number)).write_bytes(content)


def product(*levels: list[str]) -> list[str]:
    paths = [""]
    for level in levels:
        paths = [f"{path}/{name}".strip("/") for path in paths for name in level]
    return paths


TWO = ["train", "test"]
TREES: dict[str, tuple[list[str], list[str], list[str]]] = {
    "domains of classes": (product(DOMAINS, CLASSES), DOMAINS, []),
    "splits in domains": (product(DOMAINS, TWO, CLASSES), DOMAINS, ["domain/split/class"]),
    "splits above domains": (product(["Train", "val"], DOMAINS, CLASSES), DOMAINS, ["split/domain/class"]),
    "splits below classes": (product(DOMAINS, CLASSES, TWO), DOMAINS, ["domain/class/split"]),
    "splits of one domain": (product(["training", "valid", "testing"], CLASSES), ["mine"], ["split/class"]),
    "one split": (product(DOMAINS, ["train"], CLASSES), DOMAINS, ["domain/split/class"]),
    "splits of classes alone": (product(CLASSES, TWO), ["mine"], ["class/split"]),
    "a wrapper": (product(["v2"], DOMAINS, CLASSES), DOMAINS, ["folder/domain/class"]),
    "two wrappers": (product(["v2"], ["all"], DOMAINS, CLASSES), DOMAINS, ["folder/folder/domain/class"]),
    "a wrapper of splits": (product(["v2"], TWO, CLASSES), ["v2"], ["folder/split/class"]),
    "a folder in each domain": (product(DOMAINS, ["images"], CLASSES), DOMAINS, ["domain/folder/class"]),
    "another folder in each": (product(DOMAINS, ["original"], CLASSES), DOMAINS, ["domain/folder/class"]),
    "classes alone": (CLASSES, ["mine"], []),
    "one domain": (product(["shop"], CLASSES), ["shop"], ["folder/class"]),
    "folders below classes": (product(DOMAINS, CLASSES, ["a", "b"]), DOMAINS, []),
    "a class called train": (product(DOMAINS, [*CLASSES, "train"]), DOMAINS, []),
}


@pytest.mark.parametrize("tree", TREES)
def test_trees(tree: str, fresh: Path) -> None:
    folders, domains, shapes = TREES[tree]
    files(fresh / "mine", *folders)
    card = own_card(fresh / "mine")
    classes = [*CLASSES, "train"] if "called train" in tree else CLASSES
    assert (card.domains, sorted(card.classes)) == (domains, sorted(classes))
    dataset = open_dataset(card)
    assert sum(len(domain.names) for domain in dataset.domains.values()) == EACH * len(folders)
    for shape in shapes:
        assert f"layout: read as {shape} (as " in " ".join(dataset.warnings)
    assert shapes or not dataset.warnings
    assert "Read as " in card.description


def test_published_splits_hold(fresh: Path) -> None:
    files(fresh / "mine", *product(DOMAINS, TWO, CLASSES), name="{}.png")
    dataset = open_dataset(own_card(fresh / "mine"))
    assert "images keep the split that they are published with" in dataset.warnings[0]
    for domain in dataset.domains.values():
        for (path, _), split in zip(domain.places, splits(dataset, domain), strict=True):
            assert (SPLITS[split] == "test") == (path.parent.parent.name == "test")


def test_one_stray_picture_changes_nothing(fresh: Path) -> None:
    files(fresh / "mine", *product(["a", "b", "c", "d"], CLASSES))
    before = own_card(fresh / "mine")
    own_card.cache_clear()
    files(fresh / "mine", "a", "docs/figures", each=1)
    after = own_card(fresh / "mine")
    assert (after.domains, after.classes) == (["a", "b", "c", "d"], before.classes)
    assert "not read: 1 outside the folders of classes (a/0.jpg)" in " ".join(after.notes)
    assert "left out: domain docs (no class of another), figures (only in docs)" in after.notes


def heic(root: Path) -> None:
    files(root, "shop/bolt", each=2, name="{}.HEIC")


def bare(root: Path) -> None:
    files(root, "shop/bolt", each=1, name="photo{}")


def pipe(root: Path) -> None:
    os.mkfifo(root / "shop/bolt/pipe.jpg")


def listening(root: Path) -> None:
    here = os.getcwd()
    os.chdir(root / "shop/bolt")  # a socket's path is short
    try:
        socket.socket(socket.AF_UNIX).bind("s.jpg")
    finally:
        os.chdir(here)


def device(root: Path) -> None:
    (root / "shop/bolt/zero.jpg").symlink_to("/dev/zero")


def loop(root: Path) -> None:
    (root / "shop/bolt/up").symlink_to("../..")


def itself(root: Path) -> None:
    (root / "shop/itself").symlink_to("itself")


def latin(root: Path) -> None:
    (root / "shop/bolt" / os.fsdecode(b"\xe9.jpg")).write_bytes(jpeg(1))


def latin_class(root: Path) -> None:
    os.makedirs(os.fsencode(root / "shop") + b"/\xe9cole")


def deep(root: Path) -> None:
    files(root, "shop/bolt" + "/x" * 40, each=1)


def no_label(root: Path) -> None:
    files(root, "target", each=50)  # more than have labels


def few(root: Path) -> None:
    files(root, *product(DOMAINS, ["washer"]))
    for number in range(3):
        (root / f"site/washer/{number}.jpg").unlink()


def one_domain(root: Path) -> None:
    files(root, "site/washer")


def only_tested(root: Path) -> None:
    files(root, *product(DOMAINS, ["test"], CLASSES), "shop/test/washer", "site/test/washer")
    for domain in DOMAINS:
        for name in CLASSES:
            (root / domain / "train").mkdir(exist_ok=True)
            (root / domain / name).rename(root / domain / "train" / name)


def case(root: Path) -> None:
    files(root, *product(DOMAINS, ["Nut"]))


def accents(root: Path) -> None:
    files(root, f"shop/{unicodedata.normalize('NFC', 'é')}", f"site/{unicodedata.normalize('NFD', 'é')}")


def plus(root: Path) -> None:
    files(root, *product(DOMAINS, ["C", "C++"]))
    for number in range(3):
        (root / f"site/C++/{number}.jpg").unlink()


SAID: dict[Callable[[Path], object], tuple[str, str]] = {
    heic: ("not read", "2 .heic (shop/bolt/0.HEIC)"),
    bare: ("not read", "1 without a suffix (shop/bolt/photo0)"),
    pipe: ("not read", "1 pipe, socket or device (shop/bolt/pipe.jpg)"),
    listening: ("not read", "1 pipe, socket or device (shop/bolt/s.jpg)"),
    device: ("not read", "1 pipe, socket or device (shop/bolt/zero.jpg)"),
    loop: ("not read", "1 link to a folder above it (shop/bolt/up)"),
    itself: ("not read", "Too many levels of symbolic links (shop/itself)"),
    latin: ("not read", r"1 named in another encoding than UTF-8 (shop/bolt/\udce9.jpg)"),
    latin_class: ("not read", r"1 named in another encoding than UTF-8 (shop/\udce9cole)"),
    deep: ("not read", "1 nested too deeply (shop/bolt/x"),
    no_label: (
        "not read",
        "50 outside the folders of classes (target/0.jpg); labels of the target are",
    ),
    few: ("left out", "washer (2 images in site)"),
    one_domain: ("left out", "washer (only in site)"),
    only_tested: ("left out", "washer (0 images to train on in shop, 0 images to train on in site)"),
    case: ("names alike", "'Nut' and 'nut' are different classes"),
    accents: ("names alike", "are different classes"),
    plus: ("left out", "C++ (2 images in site)"),
}


@pytest.mark.parametrize("spoil", SAID, ids=lambda spoil: spoil.__name__)
def test_what_is_not_read_or_left_out_is_said(spoil: Callable[[Path], object], fresh: Path) -> None:
    root = fresh / "mine"
    files(root, *product(DOMAINS, CLASSES))
    spoil(root)
    dataset = open_dataset(own_card(root))
    kind, words = SAID[spoil]
    (said,) = [text for text in dataset.warnings if text.startswith(f"{kind}: ")]
    assert words in said
    assert set(CLASSES) <= set(dataset.card.classes)
    # Nothing of it is counted as something else.
    for domain in DOMAINS:
        rows = dataset.domains[domain]
        for place, label in zip(rows.places, rows.labels, strict=True):
            assert dataset.card.classes[label] in place[0].parts
    findings = {finding.kind: finding for finding in examine(dataset).findings}
    assert findings[kind].level == "fault"
    assert words in findings[kind].message


@pytest.mark.parametrize("spoil", [pipe, device, itself, loop])
def test_published_layouts_skip_the_same(
    spoil: Callable[[Path], object], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fresh / "d"
    files(root, *product(DOMAINS, CLASSES))
    spoil(root)
    monkeypatch.setenv("BENCH_DATA", str(root))
    fields = {"name": "d", "title": "", "description": "", "licence": ""}
    card = Card(domains=DOMAINS, classes=CLASSES, sources=[{"type": "folder"}], **fields)  # type: ignore[arg-type]
    dataset: Dataset = open_dataset(card)
    assert sum(len(domain.names) for domain in dataset.domains.values()) == EACH * 4


def test_names_that_only_punctuation_tells_apart() -> None:
    names = NameLookup(["C", "C++", "Real World"])
    assert names.get("C++") == "C++"
    assert names.get("c") is None
    assert names.get("real_world") == "Real World"


WRONG: dict[str, tuple[list[str], str]] = {
    "images alone": (
        [""],
        r"no images in .*5 outside the folders of classes \(0.jpg\); labels of the target",
    ),
    "domains without classes": (["train", "test"], "no images in .*labels of the target are needed"),
    "one class": (product(DOMAINS, ["nut"]), "has 1 class in 2 domains"),
    "a domain called pretrained": (product(["pretrained", "site"], CLASSES), "rename it"),
    "an arrow": (product(["a → b", "site"], CLASSES), "has an arrow in its name.*: rename it"),
    "nothing shared": (
        ["a/x", "a/y", "b/z", "b/w"],
        r"has 4 classes in 2 domains .*read as domain/class \(as a/x/0.jpg\); left out: w \(only in b\)",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_trees_that_will_not_do(what: str, fresh: Path) -> None:
    folders, words = WRONG[what]
    files(fresh / "mine", *folders)
    with pytest.raises(UserError, match=words) as caught:
        own_card(fresh / "mine")
    assert "\n" not in str(caught.value)


def test_plan_doctor_and_record_say_how_it_was_read(fresh: Path) -> None:
    root = as_folders(fresh / "mine", pictures(DOMAINS, [*CLASSES, "pin"], 6), "train")
    shutil.copy(root / "shop/train/nut/00001.jpg", root / "shop/train/nut/one.heic")
    words = ("read as domain/split/class (as shop/train/bolt/00001.jpg)", "not read: 1 .heic (shop/train/nut")
    environment = {"BENCH_CACHE": str(fresh / "cache")}
    plan = bench("run", "--data", "mine", "--plan", cwd=fresh, **environment)
    assert plan.returncode == 0, plan.stderr
    assert plan.stderr.count("warning: not read: 1 .heic") == 1
    check = bench("data", "check", "--data", "mine", cwd=fresh, **environment)
    assert check.returncode == 1, check.stderr
    for said in (plan.stdout + plan.stderr, check.stdout.replace("not read: fault", "")):
        for text in words:
            assert text.rpartition(": ")[2] in said


def test_a_broken_card_leaves_the_list_whole(fresh: Path) -> None:
    root = as_folders(fresh / "mine", pictures(DOMAINS, CLASSES, 3))
    (root / "card.toml").write_text('title = "half')
    environment = {"BENCH_CACHE": str(fresh / "cache"), "BENCH_OWN_DATA": str(root)}
    process = bench("data", "list", cwd=fresh, **environment, COLUMNS="300")
    assert process.returncode == 0, process.stderr
    assert "unusable: cannot read " in process.stdout
    assert "office-home" in process.stdout


NO_FILE_MORE = """
import resource, sys
from pathlib import Path
from bench.core.errors import UserError
from bench.data.own import own_card

resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
try:
    own_card(Path(sys.argv[1]))
except UserError as error:
    print(error)
"""


def test_what_the_process_lacks_is_no_fault_of_a_folder(tmp_path: Path) -> None:
    """A folder that cannot be opened for want of descriptors is not taken for one without images."""
    as_folders(tmp_path / "mine", pictures(["shop"], ["bolt", "nut"], 4))
    process = python("-c", NO_FILE_MORE, str(tmp_path / "mine"), cwd=tmp_path)
    assert process.stdout.startswith(f"cannot read {tmp_path / 'mine'}: Too many open files"), process
