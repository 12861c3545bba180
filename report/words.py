"""The answer in sentences, no surer than the numbers behind it."""

from __future__ import annotations

from report import formats
from report.tables import Leaderboard


def answer(board: Leaderboard) -> str:
    """Which method did best in a block, by how much, over what, and how sure that is."""
    best = board.best
    with_labels = f"With {board.block.labels} ({board.block.kind})"
    if best is None:
        return f"{with_labels}: nothing can be compared yet."
    cells = formats.several(board.cells, "cell")
    accuracy = f"{formats.percent(best.accuracy)} %"
    if board.compared == 1:
        where = f"the {cells} it has done" if board.cells > 1 else "the one cell it has done"
        return f"{with_labels}, only {best.method} has results: {accuracy} on average over {where}."
    over = f"the {cells}" if board.cells > 1 else "the one cell"
    everyone = "both methods" if board.compared == 2 else f"all {board.compared} methods"
    said = (
        f"{with_labels}, {best.method} has the highest accuracy: "
        f"{accuracy} on average over {over} that {everyone} share"
    )
    return f"{said}{_gain(board)}{_doubt(board)}"


def _gain(board: Leaderboard) -> str:
    best = board.best
    if best is None or best.is_baseline:
        return ", and it is the baseline."
    gain = best.gain
    if gain.points is None:
        return f"; the baseline {board.baseline} has no results to compare it with."
    between = f" (95 % interval {formats.interval(gain.interval, signed=True)})" if gain.interval else ""
    size = formats.points(abs(gain.points)).lstrip("+")
    return f", {size} points above {board.baseline}{between}."


def _doubt(board: Leaderboard) -> str:
    """What the answer is not sure of."""
    doubts = []
    if board.rivals:
        doubts.append(f" These test images do not tell it apart from {formats.listed(list(board.rivals))}.")
    if board.seeds == 1:
        doubts.append(" It rests on a single seed.")
    return "".join(doubts)
