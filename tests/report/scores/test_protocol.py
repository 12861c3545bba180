"""Tables of a folder: never a mean over cells of several protocols."""

from __future__ import annotations

from typing import Any

import pytest

from bench.records.store import Store
from bench.report.render.markdown import markdown_table
from bench.report.scores.frame import load_frame
from bench.report.scores.supervision import Supervision
from bench.report.tables.gains import by_shots
from bench.report.tables.leaderboard import leaderboards
from bench.spec.cell import Budget, Cell, RequestedSetting
from tests.report import synthetic

BUDGET = {"steps": 40, "batch_size": 8, "evaluations": 2}


def budget(**changes: int) -> dict[str, Any]:
    return {"budget": Budget(**{**BUDGET, **changes})}


def scenario(**changes: Any) -> dict[str, Any]:
    return {"scenario": synthetic.cell().scenario.model_copy(update=changes)}


def asked(**changes: Any) -> list[Cell]:
    return [synthetic.cell(method).model_copy(update=changes) for method in ("dann", "linear-probe")]


def boards(store: Store, cells: list[Cell]) -> dict[str, tuple[int, list[float | None]]]:
    """Cells and accuracies, best first, of each table."""
    frame = load_frame(store, cells, others=True)
    return {
        board.block.shots: (board.cells, [row.accuracy for row in board.rows])
        for board in leaderboards(frame, "linear-probe")
    }


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        (budget(steps=4), "5, 4 steps"),
        (budget(batch_size=4), "5, batches of 4"),
        (budget(evaluations=1), "5, 1 evaluation"),
        (budget(trials=3), "5, 3 tuning trials"),
        ({"image_size": 64}, "5, 64 px"),
        ({"augment": "crop-flip"}, "5, augmentation crop-flip"),
        ({"precision": "bf16"}, "5, bf16"),
        ({"transductive": True}, "5, transductive"),
        ({"fold": 0}, "5, fold 0 held out"),
        (scenario(dataset="others"), "5, others"),
        (scenario(target_classes=(*synthetic.CLASSES, "class 4")), "5, 5 classes"),
        ({**budget(steps=4), "image_size": 64}, "5, 4 steps, 64 px"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_cells_of_another_protocol_are_in_a_table_of_their_own(
    store: Store, changes: dict[str, Any], label: str
) -> None:
    for cell in asked():
        synthetic.write(store, cell, 20)
    for cell in asked(**changes):
        synthetic.write(store, cell, 40)
    parts = set(label.split(", "))
    found = {frozenset(name.split(", ")): board for name, board in boards(store, asked()).items()}
    assert found == {frozenset({"5"}): (1, [50.0, 50.0]), frozenset(parts): (1, [100.0, 100.0])}
    other = boards(store, asked(**changes))
    assert other["5"] == (1, [100.0, 100.0]), "the suite that was run last is the usual one"
    assert len(other) == 2


def test_what_a_suite_asks_for_itself_stays_together(store: Store) -> None:
    settings = [RequestedSetting(threads=threads) for threads in (1, 2)]
    cells = [cell for setting in settings for cell in asked(setting=setting)]
    for cell, right in zip(cells, (20, 20, 40, 40), strict=True):
        synthetic.write(store, cell, right)
    assert boards(store, cells) == {"5": (2, [75.0, 75.0])}


def test_several_sets_of_classes_of_a_suite_are_told_apart(store: Store) -> None:
    """No mean of what is right among four classes and among eight."""
    more = asked(**scenario(target_classes=(*synthetic.CLASSES, *"efgh")))
    for cell, right in zip([*asked(), *more], (20, 20, 40, 40), strict=True):
        synthetic.write(store, cell, right)
    expected = {"5": (1, [100.0, 100.0]), "5, 4 classes": (1, [50.0, 50.0])}
    assert boards(store, [*asked(), *more]) == expected
    for board in leaderboards(load_frame(store), "linear-probe"):
        assert (board.cells, [row.accuracy for row in board.rows]) == expected[board.block.shots]


def test_numbers_of_protocols_are_in_order() -> None:
    some = [Supervision(5, protocol=f"{steps} steps") for steps in (2000, 200, 600)]
    assert [each.protocol for each in sorted(some)] == ["200 steps", "600 steps", "2000 steps"]


def test_other_methods_seeds_and_pairs_of_the_same_protocol_join(store: Store) -> None:
    others = [
        synthetic.cell("maml"),
        *(synthetic.cell(method, seed=1) for method in ("dann", "linear-probe", "maml")),
        *(synthetic.cell(method, target="clipart") for method in ("dann", "linear-probe", "maml")),
    ]
    for cell in [*asked(), *others]:
        synthetic.write(store, cell, 20)
    assert boards(store, asked()) == {"5": (3, [50.0, 50.0, 50.0])}


def test_equal_words_for_different_values_are_told_apart(store: Store) -> None:
    names = synthetic.CLASSES
    for cell in asked(**scenario(target_classes=(*names, "class 4"))):
        synthetic.write(store, cell, 20)
    for cell in asked(**scenario(target_classes=(*names, "class 5"))):
        synthetic.write(store, cell, 40)
    means = sorted(board for board in boards(store, asked()).values() if board[0])
    assert means == [(1, [50.0, 50.0]), (1, [100.0, 100.0])]


def test_without_a_suite_every_protocol_has_a_table(store: Store) -> None:
    for cell in asked():
        synthetic.write(store, cell, 20)
    assert boards(store, []) == {"5": (1, [50.0, 50.0])}
    for cell in asked(**budget(steps=4)):
        synthetic.write(store, cell, 40)
    assert boards(store, []) == {"5, 40 steps": (1, [50.0, 50.0]), "5, 4 steps": (1, [100.0, 100.0])}


def test_markdown_and_curves_keep_them_apart(store: Store) -> None:
    for shots in (0, 5):
        for steps, right in ((40, 20), (4, 40)):
            synthetic.write(store, synthetic.cell(shots=shots, **budget(steps=steps)), right)
    cells = [synthetic.cell(shots=shots) for shots in (0, 5)]
    frame = load_frame(store, cells, others=True)
    assert by_shots(frame, "cross-domain").loc["linear-probe"].to_dict() == {"0": 50.0, "5": 50.0}
    text = markdown_table(frame, "linear-probe")
    assert "2 more records answer questions that the suite does not ask" in text
    assert "**cross-domain, 5 labelled target images per class, 4 steps** (1 shared cell)" in text
    assert "**cross-domain, 5 labelled target images per class** (1 shared cell)" in text
