"""Archives of baselines: replaced together, bounded when they are read."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.records import archive
from bench.records.archive import NEW, archive_names, remove_archives, replace_archives, to_zip
from bench.records.baselines import BASELINES, names, remove, save
from bench.records.codec import encode
from bench.records.store import Store
from tests.quick import expected, quick_cell


def archives(*seeds: int) -> dict[str, bytes]:
    """An archive per seed, of one record."""
    records = [expected(quick_cell(seed))[0] for seed in seeds]
    return {
        f"{seed}.zip": to_zip({f"records/{r.key[:2]}/{r.key}.json": encode(r)})
        for seed, r in zip(seeds, records, strict=True)
    }


def seeds(root: Path) -> list[int]:
    """Seeds of the cells that are read from a folder."""
    store = Store(root)
    found = sorted(record.request.cell.seed for record in store.records())
    assert not store.unreadable
    return found


class Stopped(BaseException):
    """Stands for Ctrl-C."""


STEPS = ("rename", "replace", "unlink")


@pytest.mark.parametrize("step", range(12))
def test_whoever_is_interrupted_leaves_the_old_ones_or_the_new_ones(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "mine"
    replace_archives(root, archives(1, 2))
    (root / "README.md").write_text("mine")
    count = 0

    def stopping(name: str):
        real = getattr(Path, name)

        def wrapped(self: Path, *arguments: object, **options: object) -> object:
            nonlocal count
            count += 1
            if count > step:
                raise Stopped
            return real(self, *arguments, **options)

        return wrapped

    with monkeypatch.context() as patched:
        for name in STEPS:
            patched.setattr(Path, name, stopping(name))
        try:
            replace_archives(root, archives(2, 3, 4))
            finished = True
        except Stopped:
            finished = False
    assert seeds(root) in ([2, 3, 4], [1, 2])
    if finished or (root / NEW).exists():
        assert seeds(root) == [2, 3, 4]
    replace_archives(root, archives(5))
    assert seeds(root) == [5]
    assert {path.name for path in root.iterdir()} == {"README.md", "5.zip"}


def test_files_of_others_stay(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    replace_archives(root, archives(1))
    (root / "README.md").write_text("mine")
    with zipfile.ZipFile(root / "pictures.zip", "w") as other:
        other.writestr("a.png", b"mine")
    replace_archives(root, archives(2))
    assert {path.name for path in root.iterdir()} == {"README.md", "pictures.zip", "2.zip"}
    remove_archives(root)
    assert {path.name for path in root.iterdir()} == {"README.md", "pictures.zip"}


def test_a_list_of_names_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "out.zip").write_bytes(archives(1)["1.zip"])
    root = tmp_path / "evil"
    (root / NEW).mkdir(parents=True)
    (root / NEW / archive.LIST).write_text("../out.zip\n/etc/x.zip\n\n..\nsub/x.zip")
    assert archive_names(root) == []


def test_removing_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("results/some")
    store.prepare()
    store.write(*expected(quick_cell(0)))
    save(store, "mine")
    (BASELINES / "mine" / NEW).mkdir()
    (BASELINES / "mine" / NEW / archive.LIST).write_text("")
    assert names() == []
    remove("mine")
    assert not (BASELINES / "mine").exists()
    with pytest.raises(UserError, match="no baseline 'mine'"):
        remove("mine")


def bomb(compression: int, size: int) -> bytes:
    """An archive whose record unpacks to `size` bytes, and says that it has 10."""
    key = quick_cell(0).key
    packed = to_zip({f"records/{key[:2]}/{key}.json": b"\0" * size})
    if compression != zipfile.ZIP_BZIP2:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as out:
            out.writestr(f"records/{key[:2]}/{key}.json", b"\0" * size)
        packed = buffer.getvalue()
    return packed.replace(struct.pack("<I", size), struct.pack("<I", 10))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_bombs_are_not_unpacked(compression: int, tmp_path: Path) -> None:
    """Neither by what they say nor by what they are."""
    (tmp_path / "x.zip").write_bytes(bomb(compression, 2**25))
    store = Store(tmp_path)
    tracemalloc.start()
    assert list(store.records()) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22
    (reason,) = store.unreadable.values()
    assert "is damaged" in reason
    assert "\n" not in reason


def test_an_archive_of_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "1.zip").write_bytes(archives(1)["1.zip"])
    monkeypatch.setattr(archive, "LARGEST_SUM", 100)
    store = Store(tmp_path)
    assert store.keys() == []
    (reason,) = store.unreadable.values()
    assert "unpacks to more than" in reason


def test_what_a_killed_replacement_leaves_does_not_stop_the_next(tmp_path: Path) -> None:
    """The list goes first when the folder of new archives is removed."""
    root = tmp_path / "mine"
    replace_archives(root, {"a.zip": to_zip({"records/ab/ab.json": b"{}"})})
    (root / NEW).mkdir()
    replace_archives(root, {"b.zip": to_zip({"records/cd/cd.json": b"{}"})})
    assert archive_names(root) == ["b.zip"]
    assert not (root / NEW).exists()
