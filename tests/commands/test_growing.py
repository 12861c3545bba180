"""The page of a suite while its cells run: when there is one, what it says, and when it is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.commands.results import growing
from bench.commands.results.growing import GrowingPage
from bench.data.catalog import load_card
from bench.records.record import Record
from bench.records.store import Store
from bench.spec.cell import Cell
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import Suite
from tests.report import synthetic
from tests.support.suites import emoji_suite

SUITE = emoji_suite(
    classes=4,
    methods=["linear-probe", "coral"],
    scenarios=[{"kind": "cross-domain", "sources": ["google"], "targets": ["twitter"], "shots": [0, 5]}],
)
SAID = "report so far: results/mine/report.html, written anew as cells end"


def planned(suite: Suite = SUITE) -> list[Cell]:
    """Cells in the order of their methods, no shots first."""
    return plan(suite, load_card(suite.dataset))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(growing, "SOON", 0.0)
    return Store("results/mine")


def write(store: Store, cell: Cell, status: str = "done") -> Record:
    """Record of a cell that has ended."""
    record = synthetic.record(cell, status=status)
    store.write(record, synthetic.predictions({0: range(20), 1: range(20)}) if status == "done" else {})
    return record


def page(store: Store) -> str:
    """The page as it is now; empty where there is none."""
    path = store.root / "report.html"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def test_a_page_is_there_once_two_methods_can_be_compared(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "PAUSE", 0.0)
    cells = planned()
    growing_page = GrowingPage(store, SUITE, cells, cells)
    probe, probe_5, coral, coral_5 = cells
    assert [cell.method for cell in cells] == ["linear-probe"] * 2 + ["coral"] * 2
    for cell in (probe, probe_5):
        assert growing_page.ended(write(store, cell)) == ""
        assert page(store) == "", "one method alone is no comparison"
    assert growing_page.ended(write(store, coral)) == SAID
    first = page(store)
    assert "Unfinished: 3 of 4 cells of the suite; 1 have no record yet" in first
    assert growing_page.ended(write(store, coral_5)) == ""
    assert page(store) == first, "the last cell is followed by the whole page, which the run builds"


def test_a_run_that_is_soon_over_builds_its_page_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(growing, "SOON", 10.0)
    monkeypatch.setattr("time.monotonic", lambda: now)
    cells = planned()
    growing_page = GrowingPage(store, SUITE, cells, cells)
    now = 109.9
    assert [growing_page.ended(write(store, cell)) for cell in cells[:3]] == [""] * 3
    assert page(store) == ""
    again = GrowingPage(store, SUITE, cells, cells[1:])
    now = 119.9
    assert again.ended(write(store, cells[2])) == SAID


def test_a_page_grows_after_a_pause(store: Store) -> None:
    """Twenty times as long as the build took, within which the other cells of this test end."""
    seeds = emoji_suite(**{**SUITE.model_dump(exclude_defaults=True), "seeds": [0, 1]})
    cells = sorted(planned(seeds), key=lambda cell: str(cell.scenario.shots))
    growing_page = GrowingPage(store, seeds, cells, cells)
    said = [growing_page.ended(write(store, cell)) for cell in cells]
    assert [text for text in said if text] == [SAID]
    made = said.index(SAID) + 1
    assert f"Unfinished: {made} of 8 cells" in page(store)


def test_what_was_recorded_before_counts(store: Store) -> None:
    """A run that goes on compares its first cell with those of the one before."""
    cells = planned()
    write(store, cells[0])
    growing_page = GrowingPage(store, SUITE, cells, cells[1:])
    assert growing_page.ended(write(store, cells[2])) == SAID


def test_failures_are_no_comparison(store: Store) -> None:
    cells = planned()
    growing_page = GrowingPage(store, SUITE, cells, cells)
    assert [growing_page.ended(write(store, cell, "skipped")) for cell in cells] == [""] * 4
    assert page(store) == ""


def test_a_suite_of_one_method_has_a_page_after_its_first_cell(store: Store) -> None:
    suite = emoji_suite(classes=4, methods=["linear-probe"])
    cells = planned(suite)
    assert GrowingPage(store, suite, cells, cells).ended(write(store, cells[0])) == SAID
    assert f"Unfinished: 1 of {len(cells)} cells" in page(store)


def test_large_pages_do_not_grow(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "MOST_CELLS", 3)
    cells = planned()
    growing_page = GrowingPage(store, SUITE, cells, cells)
    assert [growing_page.ended(write(store, cell)) for cell in cells] == [""] * 4


def test_a_page_that_cannot_be_written_is_said_and_does_not_end_the_run(store: Store) -> None:
    cells = planned()
    growing_page = GrowingPage(store, SUITE, cells, cells)
    store.prepare()
    (store.root / "report.html").mkdir()
    said = [growing_page.ended(write(store, cell)) for cell in (cells[0], cells[2])]
    assert said[0] == ""
    assert said[1].startswith("no report so far: cannot write 'results/mine/report.html'")
