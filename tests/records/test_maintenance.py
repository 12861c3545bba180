"""`bench results verify | merge | gc`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.commands.results import maintenance as command
from bench.core.errors import UserError
from bench.records import baselines
from bench.records.leases import Leases
from bench.records.record import Outcome, Predictions
from bench.records.store import Store
from tests.quick import age
from tests.records.test_store import PREDICTIONS, files, record
from tests.support.cells import tiny_cell

FAILED = Outcome(status="failed", reason="why")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "a")
    store.prepare()
    for seed in range(4):
        store.write(record(tiny_cell(seed=seed)), PREDICTIONS)
    return store


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _flip(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6", 1))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garbage(path: Path) -> None:
    path.write_bytes(b"\x80\x02\x00" * 50)


def _foreign(path: Path) -> None:
    path.write_text(json.dumps({"name": "something else"}))


HARMS = [_cut, _empty, _garbage, _foreign]


@pytest.mark.parametrize("harm", [*HARMS, _flip])
def test_damaged_records_go_to_quarantine(store: Store, harm, capsys: pytest.CaptureFixture[str]) -> None:
    key = store.keys()[1]
    before = files(store)
    harm(store.path(key))
    assert command.verify(str(store.root)) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"damaged: {store.path(key)}: ")
    assert err.count("\n") == 1
    assert "3 records are whole, 1 damaged" in out
    assert store.read(key) is None
    kept = {path.name for path in (store.root / "quarantine").iterdir()}
    assert f"{key}.json" in kept
    assert f"{key}.txt" in kept
    assert files(store) == before | {f"{key}.txt"}, "nothing is thrown away"
    assert command.verify(str(store.root)) == 0


@pytest.mark.parametrize("harm", [*HARMS, Path.unlink])
def test_damaged_predictions_take_their_record_along(store: Store, harm) -> None:
    found = next(store.records())
    harm(store.predictions_path(found))
    assert command.verify(str(store.root)) == 1
    assert store.read(found.key) is None
    assert len(store.keys()) == 3


def test_a_record_in_the_wrong_place(store: Store) -> None:
    found = next(store.records())
    other = store.root / "records" / "zz" / f"{found.key}.json"
    other.parent.mkdir()
    other.write_bytes(store.path(found.key).read_bytes())
    assert command.verify(str(store.root)) == 1
    assert not other.exists()
    assert len(list(store.records())) == 4


def test_merge(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Store(tmp_path / "b")
    other.prepare()
    shorter: Predictions = {name: array[:1].copy() for name, array in PREDICTIONS.items()}
    store.path(tiny_cell(seed=0).key).unlink()
    store.write(record(tiny_cell(seed=0), outcome=FAILED, evaluations=(), selected={}), {})
    for seed in (0, 1, 7):
        other.write(record(tiny_cell(seed=seed), created="later"), shorter)
    other.write(record(tiny_cell(seed=2), outcome=FAILED), {})
    _cut(other.path(other.write(record(tiny_cell(seed=8)), PREDICTIONS).key))
    first = {seed: store.read(tiny_cell(seed=seed).key) for seed in range(4)}
    assert command.merge(str(store.root), (str(other.root),)) == 1, "one was damaged"
    out, err = capsys.readouterr()
    assert "2 records added, 2 were there" in out
    assert err.startswith(f"left out {tiny_cell(seed=8).key}: ")
    assert store.read(tiny_cell(seed=1).key) == first[1], "the first that is done stays"
    assert store.read(tiny_cell(seed=2).key) == first[2]
    for seed in (0, 7):
        found = store.read(tiny_cell(seed=seed).key)
        assert found
        assert found.created == "later"
        np.testing.assert_array_equal(store.predictions(found)["target-test/labels"], [1])
    assert command.merge(str(store.root), (str(other.root),)) == 1
    assert "0 records added, 4 were there" in capsys.readouterr().out
    with pytest.raises(UserError, match="the folder to merge into"):
        command.merge(str(store.root), (f"{store.root}/../a",))
    with pytest.raises(UserError, match="no results folder"):
        command.merge(str(store.root), (f"{store.root}/nowhere",))


def test_merge_takes_the_whole_one_of_two(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Predictions that are damaged here, and whole there: of the same record, or of another answer."""
    cells = [tiny_cell(seed=seed) for seed in range(4)]
    other = Store(tmp_path / "b")
    other.prepare()
    for cell, created in zip(cells, ("now", "later", "later", "later"), strict=True):
        other.write(record(cell, **({} if created == "now" else {"created": created})), PREDICTIONS)
    for cell in cells[:3]:
        found = store.read(cell.key)
        assert found
        (Path.unlink if cell is cells[1] else _cut)(store.predictions_path(found))
    _cut(other.predictions_path(other.read(cells[2].key)))
    whole = store.read(cells[3].key)
    assert command.merge(str(store.root), (str(other.root),)) == 1, "of one, both are damaged"
    out, err = capsys.readouterr()
    assert "0 records added, 1 were there, 2 replaced damaged ones ('" in out
    assert out.count("\n") == 1
    assert err.startswith(f"left out {cells[2].key}: ")
    assert err.count("\n") == 1
    for cell in cells[:2]:
        found = store.read(cell.key)
        assert found == other.read(cell.key)
        np.testing.assert_array_equal(
            store.predictions(found)["target-test/labels"], PREDICTIONS["target-test/labels"]
        )
        assert (store.root / "quarantine" / f"{cell.key}.txt").exists()
        assert (store.root / "quarantine" / f"{cell.key}.json").exists()
    assert store.read(cells[3].key) == whole, "the first that is whole stays"
    assert command.merge(str(store.root), (str(other.root),)) == 1
    assert "0 records added, 3 were there\n" in capsys.readouterr().out


def test_merge_puts_nothing_that_failed_in_the_place_of_what_is_done(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "b")
    other.prepare()
    other.write(record(tiny_cell(seed=0), outcome=FAILED, evaluations=(), selected={}), {})
    done = store.read(tiny_cell(seed=0).key)
    assert done
    _cut(store.predictions_path(done))
    assert command.merge(str(store.root), (str(other.root),)) == 0
    assert store.read(done.key) == done, "its scalars are whole"


def test_merge_leaves_out_what_is_being_worked_on(store: Store, tmp_path: Path) -> None:
    into = Store(tmp_path / "into")
    into.prepare()
    somebody = Leases(into.root)
    assert somebody.take(store.keys()[0])
    assert command.merge(str(into.root), (str(store.root),)) == 1
    assert into.keys() == store.keys()[1:]


def test_gc_removes_what_nothing_refers_to_and_nothing_else(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(store)
    stray = store.root / "records" / "ab" / ("ab" * 8 + ".0123456789abcdef.safetensors")
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"x" * 1000)
    (store.root / "records" / ".tmp-abc.json").write_text("half")
    old = store.path(store.keys()[0]).with_suffix(".ffffffffffffffff.safetensors")
    old.write_bytes(b"of a record that was replaced")
    _cut(store.path(store.keys()[1]))
    command.gc(str(store.root), versions=False)
    assert stray.exists(), "recent files are spared"
    age(store.root)
    capsys.readouterr()
    assert command.gc(str(store.root), versions=False) == 1
    assert f"stays, with its files: {store.path(store.keys()[1])}" in capsys.readouterr().err
    assert files(store) == before, "also what belongs to a damaged record stays"
    assert not stray.parent.exists()


def test_merge_tells_of_an_archive_that_cannot_be_listed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody knows which records it has: a merge without them is none of all."""
    monkeypatch.chdir(tmp_path)
    baselines.save(store, "mine")
    (baselines.BASELINES / "mine" / "other.zip").write_bytes(b"no archive")
    assert command.merge(str(tmp_path / "into"), ("mine",)) == 1
    assert "other.zip: not a readable archive" in capsys.readouterr().err
    assert Store(tmp_path / "into").keys() == store.keys()


def test_gc_waits_for_those_who_work(store: Store) -> None:
    somebody = Leases(store.root)
    assert somebody.take(store.keys()[0])
    with pytest.raises(UserError, match="worked on"):
        command.gc(str(store.root), versions=False)
    somebody.release(store.keys()[0])
    command.gc(str(store.root), versions=False)
    with pytest.raises(UserError, match="no results folder"):
        command.gc(str(store.root / "nowhere"), versions=False)


def test_a_writer_that_stops_between_predictions_and_record(store: Store) -> None:
    """The old record and its predictions are whole, and what was new is nobody's."""
    old = next(store.records())
    before = files(store)
    newer: Predictions = {name: array[:1].copy() for name, array in PREDICTIONS.items()}
    with pytest.raises(ValueError, match="serialize"):
        store.write(record(old.request.cell, details={"target": {"what": object()}}), newer)
    assert store.read(old.key) == old
    assert store.predictions(old).keys() == PREDICTIONS.keys()
    assert len(files(store) - before) == 1
    assert command.verify(str(store.root)) == 0
    age(store.root)
    command.gc(str(store.root), versions=False)
    assert files(store) == before
