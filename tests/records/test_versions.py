"""Records that are replaced are kept, listed and restored; failed ones replace no done one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.commands.results import maintenance as command
from bench.commands.results.folder import latest_folder
from bench.core.errors import UserError
from bench.records.leases import Leases
from bench.records.record import Outcome, Predictions, Record
from bench.records.store import Store
from bench.records.versions import KEPT
from tests.quick import expected, quick_cell
from tests.records.test_store import PREDICTIONS
from tests.records.test_store import record as record_of
from tests.support.cells import digests, tiny_cell

CELL = quick_cell(0)
KEY = CELL.key


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "results")
    store.prepare()
    return store


def answer(number: int) -> tuple[Record, Predictions]:
    """One of several answers; its predictions say which."""
    record, predictions = expected(CELL)
    items = np.full(5, number, dtype=np.int32)
    return record.model_copy(update={"created": str(number)}), {**predictions, "target-test/items": items}


def failure(status: str = "failed") -> Record:
    return expected(CELL)[0].model_copy(update={"outcome": Outcome(status=status, reason="why")})


def number_of(store: Store, record: Record) -> int:
    return int(store.predictions(record)["target-test/items"][0])


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_a_done_record_is_never_replaced_by_one_that_is_not(store: Store, status: str) -> None:
    first = store.write(*answer(1))
    assert store.write(failure(status), {}) == first
    assert store.write(failure(status), {}, store.version(KEY)) == first
    assert store.read(KEY) == first
    assert number_of(store, first) == 1
    latest = store.latest(KEY)
    assert latest
    assert latest.outcome.status == status
    second = store.write(*answer(2))
    assert store.latest(KEY) == second, "a newer record says more than the attempt"


def test_the_folder_that_was_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that replaces one makes no folder; the page, and a baseline, are of where it lies."""
    monkeypatch.chdir(tmp_path)
    first, second = (Store(Path("results") / name) for name in ("first", "second"))
    for number, written in enumerate((first, second, first)):
        for folder in tmp_path.rglob("*/"):
            # Times of files are too coarse for what follows at once.
            os.utime(folder, (number, number))
        written.write(*answer(number))
        assert latest_folder() == written.root


def test_one_that_is_not_done_is_replaced_by_any(store: Store) -> None:
    store.write(failure(), {})
    assert store.write(failure("skipped"), {}).outcome.status == "skipped"
    done = store.write(*answer(1), seen=None)
    assert store.read(KEY) == done, "another process has only failed meanwhile"
    assert store.versions.numbers(KEY) == []


def test_the_newest_replaced_ones_are_kept_with_their_predictions(store: Store) -> None:
    records = [store.write(*answer(number)) for number in range(KEPT + 3)]
    assert store.versions.numbers(KEY) == [3, 4, 5]
    assert len([*store.versions.files(KEY)]) == 2 * KEPT
    for record in records[-KEPT - 1 :]:
        # A reader may have read the record before it was replaced.
        assert number_of(store, record) == int(record.created)
    with pytest.raises(FileNotFoundError):
        store.predictions(records[0])


def test_a_damaged_record_is_kept_too(store: Store) -> None:
    store.path(KEY).parent.mkdir(parents=True)
    store.path(KEY).write_bytes(b"half of a rec")
    store.write(*answer(1))
    assert store.versions.content(KEY, 1) == b"half of a rec"
    with pytest.raises(UserError, match=r"version 1 of .* cannot be restored: not JSON"):
        command.restore(str(store.root), KEY, 1)


def test_restore(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(1, 4):
        store.write(*answer(number))
    command.restore(str(store.root), KEY, 1)
    assert "created 1" in capsys.readouterr().out
    present = store.read(KEY)
    assert present
    assert (present.created, number_of(store, present)) == ("1", 1)
    kept = [Store(store.root).versions.content(KEY, n) for n in store.versions.numbers(KEY)]
    assert len(kept) == 2
    assert [b'"created": "2"' in kept[0], b'"created": "3"' in kept[1]] == [True, True]
    assert command.verify(str(store.root)) == 0
    with pytest.raises(UserError, match="choose from: 2, 3"):
        command.restore(str(store.root), KEY, 1)
    with pytest.raises(UserError, match="unknown cell with versions"):
        command.restore(str(store.root), "../../elsewhere", 1)
    somebody = Leases(store.root)
    assert somebody.take(KEY)
    with pytest.raises(UserError, match="another process works on"):
        command.restore(str(store.root), KEY, 2)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_restoring_goes_on_where_it_was_interrupted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same record does not become a version of itself."""
    for number in range(1, 3):
        store.write(*answer(number))
    with monkeypatch.context() as interrupted:
        interrupted.setattr(type(store.versions), "drop", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.restore(KEY, 1)
    assert store.read(KEY) == store.restore(KEY, 1)
    kept = [store.versions.content(KEY, number) for number in store.versions.numbers(KEY)]
    assert len(kept) == 1
    assert b'"created": "2"' in kept[0]


def test_a_restored_version_of_other_code_is_said_to_be_stale(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = tiny_cell("linear-probe")
    today = digests("linear-probe")
    older = today.model_copy(update={"engine": "older", "libraries": "torch 1.0"})
    for each in (older, today, today.model_copy(update={"weights": ((cell.backbone, "of then"),)})):
        store.write(record_of(cell, digests=each), PREDICTIONS)
    command.restore(str(store.root), cell.key, 1)
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "it is stale (other engine, other libraries): a run without --keep-stale replaces it"
    command.restore(str(store.root), cell.key, 2)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_restored_version_is_the_newest_when_it_is_replaced(store: Store, tmp_path: Path) -> None:
    """Also where the restoring process was killed before it removed the version's own file."""
    for number in range(1, KEPT + 2):
        store.write(*answer(number))
    before = shutil.copytree(store.versions.folder, tmp_path / "before")
    command.restore(str(store.root), KEY, 1)
    shutil.copytree(before, store.versions.folder, dirs_exist_ok=True)
    store.write(*answer(KEPT + 2))
    newest = store.versions.numbers(KEY)[-1]
    assert number_of(store, store.restore(KEY, newest)) == 1


def test_listing(store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    command.versions(str(store.root), None)
    assert "no versions" in capsys.readouterr().out
    for number in range(1, 3):
        store.write(*answer(number))
    store.write(failure(), {})
    command.versions(str(store.root), KEY)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [[KEY, "1"], [KEY, "present"], [KEY, "attempt"]]
    assert lines[3].split()[-2:] == ["failed:", "why"]
    with pytest.raises(UserError, match="unknown cell"):
        command.versions(str(store.root), "elsewhere")


def test_gc_removes_them_only_when_asked(store: Store) -> None:
    store.write(*answer(1))
    store.write(*answer(2))
    command.gc(str(store.root), versions=False)
    assert store.versions.numbers(KEY) == [1]
    command.gc(str(store.root), versions=True)
    assert not store.versions.folder.exists()
    present = store.read(KEY)
    assert present
    assert number_of(store, present) == 2


def test_names_of_folders_are_shown_not_obeyed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    folder = store.versions.folder / "a\u202eb\x1b[31m"
    folder.mkdir(parents=True)
    (folder / "1.json").write_text("{")
    command.versions(str(store.root), None)
    said = capsys.readouterr().out
    assert "\\u202e" in "".join(said.split())
    assert not {"\u202e", "\x1b"} & {*said}


@pytest.mark.parametrize("odd", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize("number", [1, 3])
def test_a_pipe_or_folder_named_like_a_version_stops_nobody(store: Store, odd, number: int) -> None:
    place = store.versions.folder / KEY / f"{number}.json"
    place.parent.mkdir(parents=True)
    odd(place)
    for answered in range(KEPT + 3):
        store.write(*answer(answered))
    assert number_of(store, store.read(KEY)) == KEPT + 2
    kept = store.versions.numbers(KEY)
    assert len(kept) == KEPT
    assert number not in kept
    restored = store.restore(KEY, kept[-1])
    assert number_of(store, restored) == KEPT + 1
    with pytest.raises(UserError, match=f"unknown version of {KEY} '{number}'"):
        command.restore(str(store.root), KEY, number)
