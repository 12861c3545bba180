from __future__ import annotations

import io

from rich.console import Console

from bench.records.record import Cost, Evaluation, StageCost
from bench.records.store import Store
from bench.report.render.conclusions import answer
from bench.report.render.markdown import markdown_table
from bench.report.render.page import render
from bench.report.render.terminal import terminal_table
from bench.report.scores.frame import load_frame
from bench.report.scores.supervision import Supervision
from bench.report.statistics.summary import negative_transfer
from bench.report.tables.leaderboard import (
    Block,
    blocks,
    by_rule,
    coverage,
    leaderboard,
    leaderboards,
    provenance,
    reasons,
)
from bench.spec.rules import VALIDATORS
from tests.report import synthetic

RIGHTS = {"linear-probe": 20, "dann": 32, "maml": 8}


def shown(table) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(table)
    return console.file.getvalue()


def test_a_leaderboard_by_hand(store: Store) -> None:
    synthetic.fill(store, RIGHTS, shots=[5], seeds=[0, 1])
    (board,) = leaderboards(load_frame(store), "linear-probe")
    assert [row.method for row in board.rows] == ["dann", "linear-probe", "maml"]
    assert [row.accuracy for row in board.rows] == [80.0, 50.0, 20.0]
    assert [row.gain.points for row in board.rows] == [30.0, None, -30.0]
    assert [row.seconds for row in board.rows] == [10.0] * 3
    assert (board.cells, board.pairs, board.seeds, board.compared) == (4, 2, 2, 3)
    assert board.rivals == ()
    assert board.notes == ()


def test_of_equal_methods_the_one_that_costs_less_is_named_first(store: Store) -> None:
    """Names have no part in it, and the sentence says that others have as much."""
    for method, seconds, right in (("dann", 9.0, 20), ("maml", 3.0, 20), ("linear-probe", 1.0, 8)):
        cost = Cost(stages={"target": StageCost(seconds=seconds)})
        synthetic.write(store, synthetic.cell(method), right, cost=cost)
    frame = load_frame(store)
    (board,) = leaderboards(frame, "linear-probe")
    assert [row.method for row in board.rows] == ["maml", "dann", "linear-probe"]
    said = answer(board, negative_transfer(frame, "linear-probe")).text
    assert said.startswith("maml has the highest accuracy, as dann has, 30.0 points above linear-probe")


def test_an_upper_bound_is_shown_and_has_no_place(store: Store) -> None:
    synthetic.fill(store, RIGHTS, shots=[0, 5])
    for target, right in (("sketch", 36), ("photo", 38)):
        synthetic.write(store, synthetic.cell("maml", None, target, "all"), right)
    synthetic.write(store, synthetic.cell("dann", None, "photo", "all"), 40)
    frame = load_frame(store)
    *boards, everything = leaderboards(frame, "linear-probe")
    for board in boards:
        assert (board.upper.method, board.upper.accuracy) == ("maml", 92.5), "dann has one of the targets"
        assert [row.method for row in board.rows] == ["dann", "linear-probe", "maml"]
    assert everything.upper is None
    assert "| upper bound: maml, all target labels | 92.5 | – |" in markdown_table(frame, "linear-probe")
    assert "upper bound" in render(frame)


def test_an_upper_bound_weighs_targets_as_the_means_do(store: Store) -> None:
    """Two pairs end at paint and one at sketch; dann lacks the one to photo, which is in no mean."""
    pairs = [("photo", "sketch"), ("photo", "paint"), ("sketch", "paint")]
    synthetic.fill(store, RIGHTS, pairs, shots=[5])
    synthetic.fill(store, {"maml": 8, "linear-probe": 20}, [("paint", "photo")], shots=[5])
    for target, right in (("sketch", 36), ("paint", 24), ("photo", 40)):
        synthetic.write(store, synthetic.cell("maml", None, target, "all"), right)
    board = leaderboards(load_frame(store), "linear-probe")[0]
    assert board.cells == 3
    assert board.upper is not None
    assert board.upper.accuracy == (90.0 + 2 * 60.0) / 3


def test_an_upper_bound_is_of_the_same_metric_and_rule(store: Store) -> None:
    synthetic.fill(store, RIGHTS, shots=[5])
    for changes, right in (({}, 36), ({"metric": "balanced-accuracy"}, 38), ({"headline": "oracle"}, 40)):
        for target in ("sketch", "photo"):
            synthetic.write(store, synthetic.cell("maml", None, target, "all", **changes), right)
    board = leaderboards(load_frame(store), "linear-probe")[0]
    assert board.upper is not None
    assert board.upper.accuracy == 90.0


def test_cells_that_had_not_converged_are_counted(store: Store) -> None:
    for method, losses in (("dann", (2.0, 1.0, 0.5)), ("maml", (2.0, 1.0, 0.99)), ("linear-probe", (None,))):
        evaluations = tuple(
            Evaluation(stage="target", step=step + 1, train_loss=loss, accuracy={"target-test": 0.5})
            for step, loss in enumerate(losses)
        )
        last = len(evaluations) - 1
        record = synthetic.record(synthetic.cell(method), evaluations=evaluations, selected={"last": last})
        store.write(record, synthetic.predictions({last: range(20)}))
    (board,) = leaderboards(load_frame(store), "linear-probe")
    assert {row.method: row.unconverged for row in board.rows} == {"dann": 1, "maml": 0, "linear-probe": 0}
    assert any("1 of 3 done cells had not converged at the last evaluation (dann)" in n for n in board.notes)
    assert "1 not converged" in shown(terminal_table(load_frame(store), "linear-probe"))


def test_blocks_are_in_order(store: Store) -> None:
    pairs = [("photo", "sketch"), (None, "sketch")]
    synthetic.fill(store, {"a": 20}, pairs, shots=["all", 10, 5, 0])
    titles = [(block.kind, block.shots) for block in blocks(load_frame(store))]
    cross = [("cross-domain", shots) for shots in ("0", "5", "10", "all")]
    assert titles == [*cross, ("pretrained", "5"), ("pretrained", "10"), ("pretrained", "all")]


def test_a_method_without_a_done_cell_is_last_with_reasons(store: Store) -> None:
    synthetic.fill(store, {"linear-probe": 20}, shots=[5])
    store.write(synthetic.record(synthetic.cell("maml"), "skipped", "too few images"), {})
    store.write(synthetic.record(synthetic.cell("maml", seed=1), "failed", "diverged", "log"), {})
    frame = load_frame(store)
    board = leaderboard(frame, Block("cross-domain", Supervision(5)), "linear-probe")
    last = board.rows[-1]
    assert (last.method, last.accuracy, last.otherwise) == ("maml", None, "1 skipped, 1 failed")
    assert coverage(frame).loc["maml"].to_dict() == {
        **{"done": 0, "skipped": 1, "failed": 1},
        **{"unreadable": 0, "missing": 0},
    }
    assert [tuple(row) for row in reasons(frame)[["status", "reason", "cells", "log"]].to_numpy()] == [
        ("skipped", "too few images", 1, ""),
        ("failed", "diverged", 1, "log"),
    ]
    text = shown(terminal_table(frame, "linear-probe"))
    assert "maml" in text
    assert "0 of 2 (1 skipped, 1 failed)" in text


def test_what_cannot_be_said_is_said(store: Store) -> None:
    synthetic.fill(store, {"a": 20, "b": 21}, pairs=[("photo", "sketch")], shots=[5])
    (board,) = leaderboards(load_frame(store), "linear-probe")
    notes = " ".join(board.notes)
    assert "baseline linear-probe has no done cell" in notes
    assert "One seed" in notes
    assert "One pair" in notes
    assert board.rows[0].deviation is None
    assert board.rivals == ("a",)


def test_cells_that_waited_for_a_processor_are_told(store: Store) -> None:
    for seed, waited in enumerate([None, 0.0, 0.4, 0.5, 60.0]):
        cost = Cost(stages={"target": StageCost(seconds=4.0)}, waited_seconds=waited)
        synthetic.write(store, synthetic.cell("a", seed=seed), 20, cost=cost)
    (board,) = leaderboards(load_frame(store), "a")
    # 0.4 of 4.4 seconds are less than a tenth, 0.5 of 4.5 are more.
    assert "2 of 5 done cells waited for a processor for more than 10 % of their time" in " ".join(
        board.notes
    )


def test_no_cell_that_all_share(store: Store) -> None:
    synthetic.write(store, synthetic.cell("a", seed=0), 20)
    synthetic.write(store, synthetic.cell("b", seed=1), 20)
    (board,) = leaderboards(load_frame(store), "a")
    assert board.cells == 0
    assert all(row.accuracy is None for row in board.rows)
    assert "No cell is done by every method" in board.notes[0]


def test_rules_are_scored_apart(store: Store) -> None:
    synthetic.write(store, synthetic.cell("a"), right=20, first=10)
    synthetic.write(store, synthetic.cell("a", source=None), right=20, first=10)
    frame = load_frame(store)
    (row,), cells = by_rule(frame, Block("cross-domain", Supervision(5)))
    known = {name: value for name, value in row.accuracy.items() if name not in VALIDATORS}
    assert known == {"last": 50.0, "source-val": 25.0, "oracle": 25.0}
    assert {row.accuracy[name] for name in VALIDATORS} == {None}, "these evaluations hold no validators"
    assert {name: cells[name] for name in known} == {"last": 1, "source-val": 1, "oracle": 1}
    assert row.oracle_gap == -25.0
    (row,), cells = by_rule(frame, Block("pretrained", Supervision(5)))
    assert row.accuracy["source-val"] is None
    assert cells["source-val"] == 0


def test_provenance_counts_records(store: Store) -> None:
    synthetic.fill(store, {"a": 20, "bb": 20}, shots=[5])
    table = provenance(load_frame(store)).set_index("what")
    assert tuple(table.loc["packages"]) == ("numpy 2.1, torch 2.9", 4)
    assert tuple(table.loc["threads"]) == ("1", 4)
    assert tuple(table.loc["git revision"]) == ("–", 4)
    assert tuple(table.loc["digest of bb"]) == ("m-2", 2)


def test_tables_of_nothing(store: Store) -> None:
    frame = load_frame(store)
    assert leaderboards(frame, "a") == []
    assert coverage(frame).empty
    assert reasons(frame).empty
    assert provenance(frame).empty
    assert "no records yet" in shown(terminal_table(frame, "a"))
    assert markdown_table(frame, "a") == "No records yet.\n"


def test_markdown_is_a_table_and_escapes_names(store: Store) -> None:
    synthetic.fill(store, {"linear-probe": 20, "a|b<i>": 26}, shots=[5])
    text = markdown_table(load_frame(store), "linear-probe")
    assert "| linear-probe | 50.0 |" in text
    assert r"| a\|b\<i\> | 65.0 |" in text
    assert "| +15.0 | 10.0 s |" in text


def test_brackets_in_a_name_are_no_markup_in_the_terminal(store: Store) -> None:
    synthetic.fill(store, {"[red]a[/]": 20}, shots=[5])
    assert "[red]a[/]" in shown(terminal_table(load_frame(store), "linear-probe"))


def test_the_terminal_counts_pairs_with_negative_transfer(store: Store) -> None:
    synthetic.write(store, synthetic.cell("a", "photo", "sketch", 5), 10)
    synthetic.write(store, synthetic.cell("a", "art", "sketch", 5), 30)
    synthetic.write(store, synthetic.cell("a", None, "sketch", 5), 20)
    text = shown(terminal_table(load_frame(store), "b"))
    assert "1 of 2" in text, "worse with photo than without a source, better with art"
