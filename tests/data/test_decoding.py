"""Images at which a decoder crashes or stalls: named like others that cannot be read, and the run goes on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from bench.commands.data.preview import contact_sheets
from bench.core.errors import UserError
from bench.data.dataset import BadImages, open_dataset, silent
from bench.data.decoders.image import decode
from bench.data.decoding import PIECE, pieces
from bench.data.doctor.scan import scan_images
from bench.data.index import bad_images
from bench.data.own import own_card
from bench.processes import expendable
from tests.support.checkout import ROOT, bench, python
from tests.torture.disks import small_disk

FAULTY = """
import errno, os, signal, time
from PIL import Image, PngImagePlugin

def opened(file, name):
    content = file.read()
    file.seek(0)
    if content.endswith(b"ABORT"):
        os.abort()
    if content.endswith(b"SLEEP"):
        time.sleep(3600)
    if content.endswith(b"FIRST TIME") and not os.path.exists("accident"):
        open("accident", "w").close()
        os._exit(7)
    if not os.path.exists("well"):
        if content.endswith(b"DISK"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if content.endswith(b"FILES"):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if content.endswith(b"MEMORY"):
            raise MemoryError
        if content.endswith(b"KILLED"):
            os.kill(os.getpid(), signal.SIGKILL)
        if content.endswith(b"BUSY"):
            time.sleep(3600)
    return PngImagePlugin.PngImageFile(file, name)

Image.register_open("PNG", opened, lambda start: start.startswith(b"\\x89PNG"))
"""
"""Module that Python imports at its start: a decoder that some images crash."""


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two domains of own images; a decoder is faulty in the processes that are started."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCH_LEFT_OUT", "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(FAULTY)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    random = np.random.default_rng(0)
    for domain in ("a", "b"):
        for kind in ("x", "y"):
            folder = tmp_path / "data" / domain / kind
            folder.mkdir(parents=True)
            for number in range(5):
                pixels = random.integers(0, 256, (12, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "data"


def spoil(path: Path, how: str) -> None:
    path.write_bytes(path.read_bytes() + how.encode())


def test_crashes_and_stalls_are_bad_images(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(images / "a" / "x" / "0.png", "ABORT")
    spoil(images / "a" / "y" / "3.png", "SLEEP")
    spoil(images / "a" / "y" / "4.png", "FIRST TIME")
    monkeypatch.setattr(expendable, "SECONDS", 1.0)
    dataset = open_dataset(own_card(images))
    with pytest.raises(BadImages) as told:
        dataset.decoded("a", 12)
    message = str(told.value)
    assert "x/0.png (decoding stopped: its process was killed by SIGABRT)" in message
    assert "y/3.png (decoding stopped: it took longer than 1 s)" in message
    assert "4.png" not in message, "an accident that does not happen again"
    assert not list((images.parent / "cache").rglob("*.partial"))
    assert not [child for child in psutil.Process().children() if "decoding" in " ".join(child.cmdline())]
    monkeypatch.setenv("BENCH_SKIP_BAD", "1")
    dataset = open_dataset(own_card(images))
    pixels = dataset.decoded("a", 12)
    assert len(pixels) == 8
    for row, (path, _) in enumerate(dataset.domains["a"].places):
        np.testing.assert_array_equal(pixels[row], decode(path, 12, dataset.card.fit))


@pytest.mark.parametrize("how", ["DISK", "FILES"])
def test_what_the_system_lacks_is_no_fault_of_an_image(
    images: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error, whether bad images are left out or not, and is forgotten."""
    spoil(images / "a" / "x" / "0.png", how)
    monkeypatch.setenv("BENCH_SKIP_BAD", "1")
    with pytest.raises(UserError, match=r"^cannot read .*x/0\.png: (Input/output|Too many open).*try again"):
        open_dataset(own_card(images)).decoded("a", 12)
    Path("well").touch()
    assert len(open_dataset(own_card(images)).decoded("a", 12)) == 10
    assert not bad_images("image")


@pytest.mark.parametrize("how", ["MEMORY", "KILLED", "BUSY"])
def test_what_may_pass_is_left_out_for_now(images: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an image could not be read for a reason that need not be its own: the next run tries it again."""
    spoil(images / "a" / "x" / "0.png", how)
    spoil(images / "a" / "y" / "1.png", "ABORT")
    monkeypatch.setattr(expendable, "SECONDS", 1.0)
    monkeypatch.setenv("BENCH_SKIP_BAD", "1")
    with pytest.raises(BadImages, match=r"x/0\.png \("):
        open_dataset(own_card(images)).decoded("a", 12)
    assert len(open_dataset(own_card(images)).decoded("a", 12)) == 8
    assert len(bad_images("image")) == 1, "the one that crashes is"
    monkeypatch.setenv("BENCH_LEFT_OUT", "")
    Path("well").touch()
    assert len(open_dataset(own_card(images)).decoded("a", 12)) == 9


def test_runs_without_what_may_pass(images: Path) -> None:
    """What is left out for now makes no cell run twice, and all run again once it can be read."""
    spoil(images / "a" / "x" / "0.png", "MEMORY")
    command = ("run", "--data", "data", "--methods", "linear-probe", "--source", "b", "--target", "a")
    options = ("--backbone", "test_efficientnet.untrained", "--image-size", "32", "--shots", "1")
    path = os.pathsep.join([str(ROOT), str(images.parent / "site")])

    def run() -> str:
        process = bench(
            *command, *options, "--skip-bad", "--results", "out", cwd=images.parent, PYTHONPATH=path
        )
        assert process.returncode == 0, process.stderr
        assert process.stderr.count("left out: a: cannot read image x/0.png (too little memory)") == (
            not Path("well").exists()
        )
        return process.stdout

    assert ", 0 recorded, " in run()
    again = run()
    assert "stale (other images; run again)" in again
    assert ", 0 to run" in again.splitlines()[1]
    Path("well").touch()
    whole = run()
    assert "stale (other images; run again)" in whole
    assert ", 0 to run" not in whole


def test_names_that_are_no_text(images: Path) -> None:
    """File names are bytes; one that a table or a message cannot hold is not read, and said to be."""
    first = images / "a" / "x" / "0.png"
    first.rename(os.fsdecode(os.fsencode(first.parent) + b"/\xff\xe9.png"))
    dataset = open_dataset(own_card(images))
    assert len(dataset.decoded("a", 12)) == 9
    assert any("1 named in another encoding than UTF-8" in warning for warning in dataset.warnings)
    assert not scan_images(dataset, silent).unreadable


def test_the_doctor_names_them_too(images: Path) -> None:
    spoil(images / "a" / "x" / "0.png", "ABORT")
    scan = scan_images(open_dataset(own_card(images)), silent)
    assert [*scan.unreadable.values()] == ["decoding stopped: its process was killed by SIGABRT"]
    assert {*scan.sizes.values()} == {(12, 12)}
    assert len(scan.hashes) == 19


def test_a_preview_shows_the_others(images: Path) -> None:
    spoil(images / "a" / "x" / "0.png", "ABORT")
    sheet, classes = contact_sheets(open_dataset(own_card(images)), silent)["a"]
    assert classes == ["x", "y"]
    tiles = sheet.reshape(2, 96, 8, 96, 3).swapaxes(1, 2)
    shown = (tiles != 128).any(axis=(2, 3, 4))
    assert shown.sum(1).tolist() == [4, 5], "grey where it cannot be read"
    kept = [decode(path, 96, "crop").tobytes() for path in (images / "a" / "y").iterdir()]
    assert sorted(tile.tobytes() for tile in tiles[1, :5]) == sorted(kept)
    assert not list((images.parent / "cache").rglob("*preview*"))


def test_a_cache_on_a_full_disk_is_one_line(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is sparse until it is written: there seems to be room for it."""
    with small_disk(images.parent / "disk", 100) as mounted:
        if not mounted:
            pytest.skip("this user may not mount a file system")
        monkeypatch.setenv("BENCH_CACHE", str(images.parent / "disk"))
        with pytest.raises(UserError, match=r"cannot write to the cache '.*': No space left on device; set"):
            open_dataset(own_card(images)).decoded("a", 128)


def test_a_process_that_cannot_start_is_one_line(images: Path) -> None:
    (images.parent / "site" / "sitecustomize.py").write_text("import os\nos._exit(9)\n")
    with pytest.raises(UserError, match="did not begin its work: its process ended with exit code 9"):
        open_dataset(own_card(images)).decoded("b", 12)


FULL = """
import resource, sys
import os
from pathlib import Path
from bench.core.errors import UserError
from bench.data.dataset import open_dataset
from bench.data.doctor.scan import scan_images
from bench.data.own import own_card

dataset = open_dataset(own_card(Path(sys.argv[1])))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    dataset.decoded("a", 64)
except UserError as error:
    print(error)
"""


def test_a_cache_without_room_is_one_line(images: Path) -> None:
    """Files may have so many bytes, which is told like a full disk: by an error of a write."""
    process = python("-c", FULL, str(images), cwd=images.parent, BENCH_CACHE=str(images.parent / "cache"))
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("cannot write to the cache"), process.stdout
    assert "File too large" in process.stdout


def test_pieces_cover_all_images_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.data.decoding.processors", lambda: 4)
    places = [(Path(f"{n}.png"), None) for n in range(100)]
    places += [(Path("s.parquet"), row) for row in reversed(range(1000))]
    found = [*pieces(places)]
    assert sorted(number for piece in found for number in piece) == [*range(1100)]
    assert [len(piece) for piece in found] == [PIECE, 100 - PIECE, 250, 250, 250, 250]
    assert [places[number][1] for number in found[2]] == [*range(250)]
