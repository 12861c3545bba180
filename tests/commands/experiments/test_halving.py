"""Successive halving over methods."""

from __future__ import annotations

from collections import Counter

from bench.commands.experiments.halving import halve, matched_cells
from bench.spec.cell import Cell
from tests.support.cells import tiny_cell

METHODS = ("linear-probe", "full-finetune", "dann", "maml", "scratch")


def groups(seeds: int = 8) -> list[dict[str, Cell]]:
    return matched_cells([tiny_cell(method, seed=seed) for method in METHODS for seed in range(seeds)])


def test_groups_differ_in_the_method_only() -> None:
    matched = groups(3)
    assert [set(cells) for cells in matched] == [set(METHODS)] * 3
    assert all(len({cell.seed for cell in cells.values()}) == 1 for cells in matched)
    assert sorted(cells["dann"].seed for cells in matched) == [0, 1, 2]


def test_the_best_is_found_without_running_everything() -> None:
    """Five methods, three rounds: 2 groups of 5, 4 of 3, 8 of 2."""
    truth = dict(zip(METHODS, (0.4, 0.5, 0.9, 0.7, 0.1), strict=True))
    seen: dict[str, set[str]] = {method: set() for method in METHODS}

    def score(cell: Cell) -> float:
        seen[cell.method].add(cell.key)
        return truth[cell.method]

    rounds: list[str] = []
    assert halve(groups(), score, rounds.append) == ["dann", "maml"]
    assert {method: len(keys) for method, keys in seen.items()} == {
        **{"dann": 8, "maml": 8, "full-finetune": 4},
        **{"linear-probe": 2, "scratch": 2},
    }
    assert [line.split(":")[0] for line in rounds] == ["round 1 of 3", "round 2 of 3", "round 3 of 3"]


def test_means_decide_not_single_groups() -> None:
    def score(cell: Cell) -> float:
        return {"dann": 0.5, "maml": 0.9 if cell.seed == 0 else 0.2}.get(cell.method, 0.0)

    assert halve(groups(), score, lambda _: None)[0] == "dann"


def test_a_method_that_can_do_nothing_is_dropped() -> None:
    counts: Counter[str] = Counter()

    def score(cell: Cell) -> float | None:
        counts[cell.method] += 1
        return None if cell.method == "maml" else 0.5

    assert "maml" not in halve(groups(), score, lambda _: None)
    assert counts["maml"] == 2


def test_one_method_is_run_on_everything() -> None:
    cells = [{"dann": tiny_cell("dann", seed=seed)} for seed in range(3)]
    counts: Counter[str] = Counter()

    def score(cell: Cell) -> float:
        counts[cell.method] += 1
        return 0.5

    assert halve(cells, score, lambda _: None) == ["dann"]
    assert counts["dann"] == 3
