"""Matrix of methods and pairs of domains, by hand."""

from __future__ import annotations

from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.tables.leaderboard import leaderboards
from bench.report.tables.pairs import by_pair
from bench.report.tables.record_links import record_links
from tests.report.synthetic import cell, write


def test_gains_are_over_the_same_seeds(store: Store) -> None:
    """The baseline has an easy seed that the method lacks: over the one that both have it gains 10 points."""
    for seed, right in ((0, 20), (1, 40)):
        write(store, cell("linear-probe", seed=seed), right)
    write(store, cell("dann", seed=0), 24)
    write(store, cell("maml", "sketch", "photo"), 8)
    frame = load_frame(store)
    (board,) = leaderboards(frame, "linear-probe")
    methods = ["dann", "linear-probe", "maml"]
    found = by_pair(frame, board, record_links(frame, "results"), methods)
    assert [pair.name for pair in found.pairs] == ["photo → sketch", "sketch → photo"]
    shown = {
        row.method: [(s.accuracy, s.gain, s.best) if s else None for s in row.scores] for row in found.rows
    }
    assert shown == {
        "dann": [(60.0, 10.0, True), None],
        "linear-probe": [(75.0, 0.0, False), None],
        "maml": [None, (20.0, None, True)],
    }
    parts = {row.method: [score and score.part for score in row.scores] for row in found.rows}
    assert parts == {"dann": ["1", None], "linear-probe": ["", None], "maml": [None, ""]}


def test_methods_have_one_part_where_their_seeds_are_the_same(store: Store) -> None:
    for method, seeds in {"linear-probe": (0, 1, 2), "dann": (0, 1), "maml": (0, 1), "coral": (1, 2)}.items():
        for seed in seeds:
            write(store, cell(method, seed=seed), 20)
    frame = load_frame(store)
    (board,) = leaderboards(frame, "linear-probe")
    methods = ["coral", "dann", "linear-probe", "maml"]
    found = by_pair(frame, board, record_links(frame, "results"), methods)
    coral, dann, probe, maml = (row.scores[0].part for row in found.rows if row.scores[0])
    assert probe == ""
    assert dann == maml != ""
    assert coral not in ("", dann)
