"""A page that nothing has changed for is kept, and one that something has changed for is made anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.commands.results.report import build_page
from bench.records.store import Store
from bench.report.render import fingerprint
from bench.spec.matrix.suite import Suite, load_suite
from tests.report import synthetic

CELLS = [synthetic.cell(method, seed=seed) for method in ("linear-probe", "dann") for seed in range(2)]


@pytest.fixture
def suite() -> Suite:
    return load_suite("smoke")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "results")
    for right, cell in enumerate(CELLS, start=20):
        synthetic.write(store, cell, right)
    return store


def made(store: Store, suite: Suite, cells: list = CELLS) -> int:
    """When the page was written."""
    return build_page(store, suite, cells).stat().st_mtime_ns


def test_it_is_kept(store: Store, suite: Suite) -> None:
    first = made(store, suite)
    assert made(store, suite) == first
    assert made(Store(store.root), suite) == first


def damage(store: Store) -> None:
    record = store.read(CELLS[0].key)
    assert record
    store.predictions_path(record).write_bytes(b"")


def answer_anew(store: Store) -> None:
    synthetic.write(store, CELLS[0], 3)


def answer_more(store: Store) -> None:
    synthetic.write(store, synthetic.cell("scratch"), 3)


def forget(store: Store) -> None:
    store.path(CELLS[0].key).unlink()


def cut_short(store: Store) -> None:
    page = store.root / "report.html"
    page.write_bytes(page.read_bytes()[:-9])


def remove(store: Store) -> None:
    (store.root / "report.html").unlink()


@pytest.mark.parametrize("change", [damage, answer_anew, answer_more, forget, cut_short, remove])
def test_it_is_made_anew(store: Store, suite: Suite, change: Callable[[Store], None]) -> None:
    first = made(store, suite)
    change(store)
    second = made(store, suite)
    assert second != first
    # What could not be read may have been so for a moment only.
    assert (made(store, suite) == second) == (change is not damage)


def test_another_question_or_other_code(
    store: Store, suite: Suite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    times = [made(store, suite)]
    times.append(made(store, suite.model_copy(update={"description": "another"})))
    times.append(made(store, suite.model_copy(update={"description": "another"}), CELLS[:2]))
    (tmp_path / "code").mkdir()
    monkeypatch.setattr(fingerprint, "__file__", str(tmp_path / "code" / "fingerprint.py"))
    times.append(made(store, suite.model_copy(update={"description": "another"}), CELLS[:2]))
    assert len(set(times)) == len(times)
