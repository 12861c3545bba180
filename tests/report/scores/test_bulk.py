"""Records read by several processes say what they say when read by one."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from functools import partial

import pandas as pd
import pytest

from bench.processes import pool
from bench.records import bulk
from bench.records.store import Store
from bench.report.regression.paired_cells import sides
from bench.report.scores.frame import load_frame
from tests.report import synthetic

TODAY = synthetic.record(synthetic.cell("dann")).digests
CELLS = [synthetic.cell(method, seed=seed) for method in ("dann", "maml") for seed in range(6)]


@pytest.fixture
def filled(store: Store) -> Store:
    """Twelve cells: ten done, one failed, one damaged; beside them a folder that is none."""
    for number, cell in enumerate(CELLS):
        if number == 3:
            store.write(synthetic.record(cell, "failed", "out of luck"), {})
        else:
            synthetic.write(store, cell, right=15 + number)
    store.path(CELLS[7].key).write_bytes(b"{}")
    (store.root / "records" / "zz").touch()
    return store


def processes(store: Store, keys: Sequence[str]) -> list[tuple[int, str]]:
    return [(os.getpid(), key) for key in keys]


def doomed(here: int, store: Store, keys: Sequence[str]) -> list[str]:
    """Ends the process that it runs in, unless it is this one."""
    if os.getpid() != here:
        os.kill(os.getpid(), signal.SIGKILL)
    return [*keys]


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a handful of records were many, and there were two processors."""
    monkeypatch.setattr(bulk, "MANY", 5)
    monkeypatch.setattr(bulk, "AT_ONCE", 3)
    for module in (bulk, pool):
        monkeypatch.setattr(module, "processors", lambda: 2)


def frames(store: Store) -> list[pd.DataFrame]:
    asked = [*CELLS, synthetic.cell("probe")]
    found = [load_frame(store), load_frame(store, asked), load_frame(store, per_image=False)]
    return [frame.drop(columns="predictions") for frame in found]


def test_few_are_read_here(filled: Store) -> None:
    assert {pid for part in filled.map_chunks(filled.keys(), processes) for pid, _ in part} == {os.getpid()}


def test_many_are_read_elsewhere_and_come_in_order(filled: Store, many: None) -> None:
    found = [row for part in filled.map_chunks(filled.keys(), processes) for row in part]
    assert [key for _, key in found] == filled.keys()
    assert os.getpid() not in {pid for pid, _ in found}


def test_what_a_killed_process_leaves_is_read_here(filled: Store, many: None) -> None:
    found = filled.map_chunks(filled.keys(), partial(doomed, os.getpid()))
    assert [key for part in found for key in part] == filled.keys()
    assert [key for part in filled.map_chunks(filled.keys(), processes) for _, key in part] == filled.keys()


def test_frames_are_the_same(filled: Store, request: pytest.FixtureRequest) -> None:
    alone = frames(filled)
    assert sorted(alone[0]["status"]) == [*["done"] * 10, "failed", "unreadable"]
    assert list(alone[1]["status"][[3, 7, 12]]) == ["failed", "unreadable", "missing"]
    request.getfixturevalue("many")
    for one, other in zip(alone, frames(Store(filled.root)), strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_sides_are_the_same(filled: Store, request: pytest.FixtureRequest) -> None:
    alone = sides(filled)
    assert len(alone) == 11
    assert sum(bool(side.answers) for side in alone.values()) == 10
    request.getfixturevalue("many")
    assert sides(filled) == alone


def looked(store: Store) -> tuple[object, ...]:
    """What `missing` finds of the cells and one that was never run, and what the store then knows."""
    asked, digests = [*CELLS, synthetic.cell("probe")], synthetic.record(CELLS[0]).digests
    today = dict.fromkeys(("dann", "maml", "probe"), digests)
    stale = {**today, "maml": digests.model_copy(update={"engine": "another"})}
    found = [store.missing(asked, given, retry_failed=again) for given in (today, stale) for again in (0, 1)]
    return found, store.unreadable, [store.version_when_checked(cell.key) for cell in asked]


def test_what_is_missing_is_the_same(filled: Store, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("many")
    other = Store(filled.root)
    apart = looked(other)
    assert len(other.unreadable) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "MANY", 100)
        assert looked(filled) == apart
    todo = [[cell.key for cell in cells] for cells, _ in apart[0]]
    assert [len(cells) for cells in todo] == [2, 3, 7, 8]
    assert not set(todo[0]) & {cell.key for cell in CELLS[:7] if cell != CELLS[3]}


def test_what_is_missing_is_read_elsewhere(filled: Store, many: None) -> None:
    """This process never decodes a record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.records.store.decode", None)
        todo, _ = filled.missing(CELLS, {"dann": TODAY, "maml": TODAY})
    assert [cell.key for cell in todo] == [CELLS[7].key]
