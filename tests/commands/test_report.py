"""The suite travels with the records: a page that is built again is the one that the run wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.commands.results.asked import keep
from bench.commands.results.baseline import save
from bench.commands.results.report import build
from bench.data.catalog import load_card
from bench.records.store import Store
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import ScenarioTable, Suite
from tests.report import synthetic

SUITE = Suite(
    name="mine",
    description="Do five labels help?",
    dataset="emoji-home",
    backbones=["tf_efficientnet_lite0"],
    methods=["dann", "full-finetune", "linear-probe"],
    baseline="full-finetune",
    scenarios=[ScenarioTable(kind="cross-domain", sources=["google"], targets=["twitter"], shots=[5])],
)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """What `bench run` leaves of a suite of one's own that was interrupted before its last method."""
    monkeypatch.chdir(tmp_path)
    store, card = Store("results/mine"), load_card(SUITE.dataset)
    keep(store, SUITE, card, {})
    for cell in plan(SUITE, card):
        if cell.method != "dann":
            right = 30 if cell.method == "linear-probe" else 20
            labels = len(cell.scenario.target_classes)
            arrays = synthetic.predictions({0: range(right), 1: range(right)})
            assert labels > 4
            store.write(synthetic.record(cell), arrays)
    return store


def told(page: Path) -> list[bool]:
    text = " ".join(re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8")).split())
    return [
        what in text
        for what in (
            "Do five labels help?",
            "25.0 points over full-finetune",
            "Unfinished: 2 of 3 cells of the suite; 1 have no record yet",
        )
    ]


def test_the_page_is_built_again_as_the_run_wrote_it(results: Store) -> None:
    first = build(str(results.root))
    assert told(first) == [True, True, True]
    again = build(str(results.root), "again.html")
    written = first.read_text(encoding="utf-8").rpartition("<!--")[0]
    assert again.read_text(encoding="utf-8").rpartition("<!--")[0] == written


def test_the_suite_goes_into_a_baseline_and_out_again(results: Store) -> None:
    save("kept", str(results.root))
    assert told(build("kept", "kept.html")) == [True, True, True]
    (results.root / "suite.json").unlink()
    save("kept", str(results.root))
    assert told(build("kept", "kept.html")) == [False, False, False], "an earlier suite does not stay"
