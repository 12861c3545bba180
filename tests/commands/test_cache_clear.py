"""`bench cache clear` removes what this program has put into its cache, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.commands.data import cache
from bench.core.digest import PACKAGE
from bench.core.errors import UserError
from bench.core.paths import writing_to_cache


def fill(root: Path) -> None:
    """What a run leaves in the cache."""
    with writing_to_cache():
        for name in ("decoded/pacs-1", "index", "artifacts/features"):
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name / "file").write_bytes(b"x" * 10)


def tree(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}


@pytest.fixture(params=["absent", "empty"])
def ours(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that was made to be a cache."""
    root = tmp_path / "cache"
    if request.param == "empty":
        root.mkdir()
    monkeypatch.setenv("BENCH_CACHE", str(root))
    fill(root)
    return root


def test_folders_of_the_user_stay(ours: Path) -> None:
    (ours / "thesis").mkdir()
    (ours / "thesis" / "chapter.tex").write_text("mine")
    cache.clear(None, yes=True)
    assert tree(ours) == {"CACHEDIR.TAG", "thesis/chapter.tex"}
    fill(ours)
    cache.clear("index", yes=True)
    assert tree(ours) == {
        "CACHEDIR.TAG",
        "thesis/chapter.tex",
        "decoded/pacs-1/file",
        "artifacts/features/file",
    }


def test_every_part_is_known(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever asks for a folder of the cache names one that is listed and cleared."""
    asked = {
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r"""cache_part\("([a-z-]+)"\)""", path.read_text(encoding="utf-8"))
    }
    assert {"weights", "own-weights", "unreadable", "index"} <= asked
    others = [path for path in PACKAGE.rglob("*.py") if "cache_root() /" in path.read_text(encoding="utf-8")]
    assert others == [PACKAGE / "core/paths.py"], "what lies elsewhere is never cleared"
    for name in asked:
        (ours / name / "inner").mkdir(parents=True, exist_ok=True)
    cache.clear("weights", yes=True)
    assert not (ours / "weights").exists()
    cache.clear(None, yes=True)
    assert not [path for path in ours.iterdir() if path.is_dir() and any(path.iterdir())]


def test_links_are_not_followed(ours: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("mine")
    (ours / "fetched").symlink_to(elsewhere)
    (ours / "decoded" / "linked").symlink_to(elsewhere)
    (ours / "artifacts" / "linked").symlink_to(elsewhere)
    cache.clear(None, yes=True)
    assert (elsewhere / "file").read_text() == "mine"


def test_a_home_that_became_the_cache_is_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "thesis.pdf").write_text("mine")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    fill(tmp_path)
    before = tree(tmp_path)
    for what in (None, "downloads", "index"):
        with pytest.raises(UserError, match="some may be yours"):
            cache.clear(what, yes=True)
    assert tree(tmp_path) == before
