"""What is kept of records: it saves reading them, and never says anything else than they do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bench.records import status_cache
from bench.records.record import Digests
from bench.records.status_cache import CellStatus, StatusCache
from bench.records.store import Store
from tests.quick import TODAY, expected, quick_cell

OTHER = Digests(method="other", engine="e", dataset="d")


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_cache, "LEAST", 1)


def filled(root: Path) -> Store:
    store = Store(root)
    store.prepare()
    for seed in range(4):
        store.write(*expected(quick_cell(seed)))
    return store


def missing(root: Path) -> list[int]:
    todo, _ = Store(root).missing([quick_cell(seed) for seed in range(4)], {"quick": TODAY})
    return [cell.seed for cell in todo]


def test_it_is_kept_and_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path)
    assert missing(tmp_path) == []
    key = quick_cell(0).key
    held = StatusCache(tmp_path / "records" / status_cache.FILE)
    assert held.get(key, str(store.version(key))) == CellStatus("done", TODAY)
    assert held.get(key, "another") is None
    assert len(store.keys()) == 4, "it is no record"
    # Nothing is decoded any more.
    monkeypatch.setattr("bench.records.store.decode", None)
    assert missing(tmp_path) == []


def test_records_that_change_are_read(tmp_path: Path) -> None:
    store = filled(tmp_path)
    assert missing(tmp_path) == []
    record, predictions = expected(quick_cell(1))
    store.write(record.model_copy(update={"digests": OTHER}), predictions)
    damaged = store.path(quick_cell(2).key)
    damaged.write_bytes(damaged.read_bytes()[:-20])
    store.path(quick_cell(3).key).unlink()
    assert missing(tmp_path) == [1, 2, 3]
    fresh = Store(tmp_path)
    fresh.missing([quick_cell(2)], {"quick": TODAY})
    assert damaged in fresh.unreadable
    # A record under the name of another one is none.
    store.path(quick_cell(3).key).write_bytes(store.path(quick_cell(0).key).read_bytes())
    assert missing(tmp_path) == [1, 2, 3]


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"statuses": [1], "entries": {}}', b"\xff", b'{"statuses": []}', b"[" * 100_000],
)
def test_a_damaged_file_is_as_none(tmp_path: Path, content: bytes) -> None:
    filled(tmp_path)
    sealed = hashlib.sha256(content).hexdigest().encode() + b"\n" + content
    for written in (content, sealed):
        (tmp_path / "records" / status_cache.FILE).write_bytes(written)
        assert missing(tmp_path) == []


def test_a_changed_file_is_not_believed(tmp_path: Path) -> None:
    filled(tmp_path)
    assert missing(tmp_path) == []
    path = tmp_path / "records" / status_cache.FILE
    changed = path.read_bytes().replace(b'"engine": "e"', b'"engine": "x"')
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    assert missing(tmp_path) == []
