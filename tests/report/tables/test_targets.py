"""Means and worst targets of several sources together, beside the best single source: by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.scores.supervision import Supervision
from bench.report.tables.leaderboard import Block
from bench.report.tables.scenarios.targets import by_target
from tests.report.synthetic import cell, write

POOLS = {"art": ("photo", "sketch"), "sketch": ("art", "photo")}


def fill(store: Store, method: str, rights: dict[str, int], kind: str) -> None:
    """A cell for each target, right on so many of 40 images."""
    for target, right in rights.items():
        asked = cell(method, POOLS[target], target, 0)
        asked = asked.model_copy(update={"scenario": asked.scenario.model_copy(update={"kind": kind})})
        write(store, asked, right)


@pytest.mark.parametrize("kind", ["multi-source", "generalise"])
def test_by_target(kind: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store, "plain", {"art": 20, "sketch": 10}, kind)
    fill(store, "better", {"art": 24, "sketch": 16}, kind)
    # Of the pool of art, photo gives more; that of sketch did not run whole.
    for source, target, right in (("photo", "art", 18), ("sketch", "art", 12), ("art", "sketch", 40)):
        write(store, cell("plain", source, target, 0), right)
    frame = load_frame(store)
    assert {"photo + sketch → art", "art + photo → sketch"} <= {*frame["pair"]}
    better, plain = by_target(frame, Block(kind, Supervision(0)))
    assert (better.method, better.targets, better.mean, better.worst, better.hardest) == (
        "better",
        2,
        50.0,
        40.0,
        "sketch",
    )
    assert (better.single, better.gain, better.compared) == (None, None, 0), "it ran on no single source"
    assert (plain.mean, plain.worst, plain.hardest) == (37.5, 25.0, "sketch")
    assert (plain.single, plain.gain, plain.compared) == (45.0, 5.0, 1)
    assert by_target(frame, Block("cross-domain", Supervision(0))) == []


def test_the_best_single_source_is_of_the_seeds_of_the_pool(tmp_path: Path) -> None:
    """24 of 40 against 20 in the one seed that both have; 32 of the other seed are no loss of the pool."""
    store = Store(tmp_path)
    fill(store, "plain", {"art": 24}, "generalise")
    for source, seed, right in (("photo", 0, 20), ("photo", 1, 32), ("sketch", 0, 12)):
        write(store, cell("plain", source, "art", 0, seed), right)
    (plain,) = by_target(load_frame(store), Block("generalise", Supervision(0)))
    assert (plain.mean, plain.single, plain.gain, plain.compared) == (60.0, 50.0, 10.0, 1)
