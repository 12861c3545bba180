"""What cells had spent at their evaluations, and methods at equal budget, by hand."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli import cli
from bench.records.record import Cost, Evaluation, Record, StageCost
from bench.records.store import Store
from bench.report.render.markdown import equal_table
from bench.report.render.page import build
from bench.report.scores.frame import load_frame
from bench.report.scores.spending import spending
from bench.report.statistics.equal_budget import equal_budget, equal_budgets
from tests.report import synthetic


def write(
    store: Store, method: str, accuracies: dict[int, float], stages: dict[str, StageCost], **changes: Any
) -> Record:
    """A cell of budget 40 × 8 that is this accurate on test images after these steps of its last stage."""
    cell = synthetic.cell(method, **changes)
    evaluations = tuple(
        Evaluation(
            stage=list(stages)[-1],
            step=step,
            train_loss=None if len(accuracies) == 1 else 1.0,
            accuracy={"target-test": accuracy},
        )
        for step, accuracy in accuracies.items()
    )
    seconds = {"data": 1.0, "evaluate": 5.0}
    last = len(evaluations) - 1
    return store.write(
        synthetic.record(
            cell, evaluations=evaluations, selected={"last": last}, cost=Cost(seconds=seconds, stages=stages)
        ),
        synthetic.predictions({last: range(round(40 * evaluations[-1].accuracy["target-test"]))}),
    )


def stage(seconds: float, **items: int) -> StageCost:
    return StageCost(seconds=seconds, items=items)


@pytest.fixture
def three(store: Store) -> Store:
    """At 0 shots: a closed form, one that trains, and one that sees as many unlabelled images beside them."""
    write(store, "probe", {1: 0.5}, {"source": stage(0.5, fitted=50)}, shots=0)
    write(store, "tune", {10: 0.2, 20: 0.4, 30: 0.6, 40: 0.7}, {"source": stage(40.0, labelled=320)}, shots=0)
    both = {"source": stage(80.0, labelled=320, unlabelled=320)}
    write(store, "adapt", {10: 0.3, 20: 0.5, 30: 0.7, 40: 0.8}, both, shots=0)
    return store


def ranking(store: Store, measure: str) -> tuple[float, list[tuple[str, float, str]]]:
    found = equal_budget(load_frame(store), measure)
    assert found is not None
    return found.budget, [(row.method, round(row.accuracy, 6), row.cut) for row in found.rows]


def test_each_method_counts_where_it_was_when_all_had_spent_as_much(three: Store) -> None:
    whole = [("adapt", 80.0, ""), ("tune", 70.0, ""), ("probe", 50.0, "")]
    cut = [("tune", 70.0, ""), ("adapt", 50.0, "source 20"), ("probe", 50.0, "")]
    assert ranking(three, "steps") == (40, whole)
    assert ranking(three, "items") == (320, cut)
    # Reading images counts, evaluations do not: 1 + 40 seconds reach to 1 + 40 of 80.
    assert ranking(three, "seconds") == (41.0, cut)


def test_stages_before_and_fits_count(store: Store) -> None:
    """Ten images are two steps of eight; a source stage has its forty."""
    stages = {
        "source": stage(10.0, labelled=320),
        "target": stage(4.0, fitted=10, labelled=144, replayed=144),
    }
    record = write(store, "lp", {9: 0.5, 18: 0.6}, stages)
    first, last = spending(record)
    assert (first.steps, first.items, first.seconds) == (40 + 2 + 9, 320 + 10 + 144, 1 + 10 + 2)
    assert (last.steps, last.items, last.seconds) == (40 + 2 + 18, 320 + 10 + 288, 1 + 10 + 4)
    closed = {"source": stage(1.0, fitted=50), "target": stage(1.0, fitted=20)}
    (only,) = spending(write(store, "probe", {1: 0.5}, closed))
    assert (only.steps, only.items, only.trains) == (7 + 3, 70, False)


def test_who_is_first_evaluated_beyond_the_budget_has_no_place(store: Store) -> None:
    write(store, "tune", {20: 0.4}, {"source": stage(1, labelled=320), "target": stage(1, labelled=160)})
    much = {"source": stage(1, labelled=320, unlabelled=320), "target": stage(1, labelled=160)}
    write(store, "adapt", {10: 0.6, 20: 0.6}, much)
    found = equal_budget(load_frame(store), "items")
    assert found is not None
    assert [row.method for row in found.rows] == ["tune"]
    assert found.beyond == (("adapt", 720.0),)
    assert "| adapt | – | first at 720 items | – | – |" in equal_table(load_frame(store), "items")


def test_records_without_items_say_nothing(store: Store) -> None:
    synthetic.fill(store, {"a": 20, "b": 30}, shots=[5])
    assert equal_budgets(load_frame(store)) == []
    assert equal_table(load_frame(store), "steps") == "No methods that can be compared at equal steps.\n"


def test_page_command_and_export_rank_at_equal_budget(three: Store, tmp_path) -> None:
    page = build(three.root).read_text()
    assert "At equal items." in page
    assert "items seen (all)" in page
    run = CliRunner().invoke
    said = run(
        cli, ["report", "--results", str(three.root), "--equal", "items"], catch_exceptions=False
    ).output
    assert said.index("| tune | 70.0 | 320 items |") < said.index(
        "| adapt | 50.0 | 320 items | source 20 | 80.0 |"
    )
    document = tmp_path / "ranks.md"
    run(cli, ["report", "--results", str(three.root), "--equal", "steps", "--out", str(document)])
    assert document.read_text().index("| adapt | 80.0 |") < document.read_text().index("| tune | 70.0 |")
    run(cli, ["export", str(tmp_path / "out"), "--results", str(three.root)], catch_exceptions=False)
    table = pd.read_csv(tmp_path / "out" / "tables" / "equal-budgets.csv")
    items = table[table["measure"] == "items"].set_index("method")["accuracy"]
    assert items.to_dict() == {"tune": 70.0, "adapt": 50.0, "probe": 50.0}
    board = pd.read_csv(tmp_path / "out" / "tables" / "leaderboard.csv").set_index("method")
    assert board["items seen (all)"].to_dict() == {"adapt": 640, "tune": 320, "probe": 50}
    wrong = run(cli, ["report", "--equal", "moments"])
    assert wrong.exit_code == 2
    assert "'steps', 'items', 'seconds'" in wrong.output
