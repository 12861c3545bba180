"""Archives are unpacked whole, and not outside their folder."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.data.archive import unpack
from bench.data.dataset import silent
from tests.data.pictures import as_folders, pictures
from tests.support.checkout import bench


def zipped(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    return path


def tarred(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for member in members:
            file.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "a/../../out.txt", "..\\out.txt", "C:\\out.txt"])
def test_zip_that_would_write_outside(name: str, tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", "good.txt", name)
    with pytest.raises(UserError, match=r"refused: .*outside its folder"):
        unpack(archive, tmp_path / "in" / "out", silent)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.zip"]


def test_folders_that_are_nested_too_deeply(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", "good.txt", "/".join("a" * 3000))
    with pytest.raises(UserError, match=r"refused: .*a\.zip has folders in each other, 3000 deep \('a/a/a"):
        unpack(archive, tmp_path / "in" / "out", silent)
    assert not (tmp_path / "in" / "out").exists()


@pytest.mark.parametrize(
    "bad",
    [
        member("../out.txt", size=1),
        member("/out.txt", size=1),
        member("link", type=tarfile.SYMTYPE, linkname="../../.."),
        member("hard", type=tarfile.LNKTYPE, linkname="../a.tar"),
        member("device", type=tarfile.CHRTYPE),
    ],
    ids=lambda info: info.name,
)
def test_tar_that_would_write_outside(bad: tarfile.TarInfo, tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", member("good.txt", size=1), bad)
    with pytest.raises(UserError, match=r"refused|cannot unpack"):
        unpack(archive, tmp_path / "in" / "out", silent)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.tar"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", b"text"])
def test_what_is_no_archive(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip"):
        unpack(tmp_path / "a.zip", tmp_path / "out", silent)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_whose_members_say_less_than_they_unpack_to(kind: int, tmp_path: Path) -> None:
    """`zipfile` unpacks these in pieces of any size, whatever size they state."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("zeros", bytes(10**6), compress_type=kind)
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(
        content.replace((10**6).to_bytes(4, "little"), (9).to_bytes(4, "little"))
    )
    with pytest.raises(UserError, match=r"refused: 'zeros' of .* may unpack to any size"):
        unpack(tmp_path / "a.zip", tmp_path / "out", silent)
    assert not (tmp_path / "out").exists()


def test_another_archive_is_not_in_the_way_of_the_right_one(fresh: Path) -> None:
    zipped(fresh / "wrong.zip", "readme.txt")
    as_folders(fresh / "OfficeHome", pictures(["Art"], ["Bed"], 3))
    with zipfile.ZipFile(fresh / "right.zip", "w") as file:
        for path in (fresh / "OfficeHome").rglob("*.jpg"):
            file.write(path, path.relative_to(fresh))
    fetch = ("data", "fetch", "office-home", "--archive")
    environment = {"BENCH_CACHE": str(fresh / "cache"), "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(fresh)}
    wrong = bench(*fetch, "wrong.zip", cwd=fresh, **environment)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1), wrong.stderr
    right = bench(*fetch, "right.zip", cwd=fresh, **environment)
    assert right.returncode == 0, right.stderr
    assert "office-home from folder OfficeHome: Art 3" in right.stdout


def test_an_archive_that_was_downloaded(fresh: Path) -> None:
    found = pictures(["Art", "Real World"], ["Alarm_Clock", "Bed"], 3)
    folder = as_folders(fresh / "OfficeHomeDataset_10072016", found)
    with zipfile.ZipFile(fresh / "oh.zip", "w") as file:
        for path in folder.rglob("*.jpg"):
            file.write(path, path.relative_to(fresh))
    environment = {"BENCH_CACHE": str(fresh / "cache")}
    process = bench("data", "fetch", "office-home", "--archive", "oh.zip", cwd=fresh, **environment)
    assert process.returncode == 0, process.stderr
    assert "office-home from folder OfficeHomeDataset_10072016: Art 6, Real World 6" in process.stdout
    assert "the card says 2427" in process.stderr
    listed = bench("data", "list", cwd=fresh, **environment)
    assert "folder OfficeHomeDataset" in listed.stdout
    size = bench("cache", "ls", cwd=fresh, **environment)
    assert "fetched" in size.stdout
    cleared = bench("cache", "clear", "fetched", "--yes", cwd=fresh, **environment)
    assert cleared.returncode == 0, cleared.stderr
    assert "fetched" not in bench("cache", "ls", cwd=fresh, **environment).stdout
