"""Accuracy against what it costs, with Pareto fronts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.report.figures.drawing import (
    INK,
    MethodStyles,
    Picture,
    canvas,
    cost_scale,
    draw,
    finish,
    inline,
    label,
)
from bench.report.tables import formats
from bench.report.tables.leaderboard import Leaderboard, Standing

MOST = 4
"""Blocks in the overview; more would hide each other."""
DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class CostAxis:
    """Kind of cost: its axis, its value of a method, and how that is written."""

    name: str
    axis: str
    of: Callable[[Standing], float | None]
    write: Callable[[float | None], str]


SECONDS = CostAxis("seconds", "seconds per cell, alone", lambda row: row.seconds, formats.seconds)
MEMORY = CostAxis("memory", "peak memory, MiB", lambda row: row.memory, formats.mebibytes)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the (cost, accuracy) that no other beats at the same cost or less, by rising cost.

    Of points that are alike in both the first one counts.
    """
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1], i))
    kept: list[int] = []
    for i in order:
        if not kept or points[i][1] > points[kept[-1]][1]:
            kept.append(i)
    return kept


def with_cost(board: Leaderboard, cost: CostAxis) -> list[tuple[Standing, float, float]]:
    """(method, cost, accuracy) of the methods that have both."""
    found = []
    for row in board.rows:
        value = cost.of(row)
        if row.accuracy is not None and formats.known(value) and value > 0:
            found.append((row, value, row.accuracy))
    return found


def accuracy_against(board: Leaderboard, cost: CostAxis, style: MethodStyles) -> Picture | None:
    """Mean accuracy (with its interval) against a cost, log scale, and the front through the best ones."""
    points = with_cost(board, cost)
    if not points:
        return None
    best = pareto_front([(value, accuracy) for _, value, accuracy in points])
    with canvas(5.0, 3.6 + 0.2 * ((len(points) + 1) // 2)) as (figure, axes):
        # Steps: at any cost in between, the cheaper method is what one can have.
        x, y = [points[i][1] for i in best], [points[i][2] for i in best]
        axes.step(x, y, where="post", color=INK, linewidth=1.0, linestyle="--", alpha=0.6)
        for row, value, accuracy in sorted(points, key=lambda point: point[0].method):
            if row.interval:
                colour = style[row.method][0]
                axes.plot([value] * 2, row.interval, color=colour, linewidth=1.2, alpha=0.7)
            draw(axes, [value], [accuracy], row.method, style, _point(row, cost.write(value)))
        cost_scale(axes, [value for _, value, _ in points], cost.axis)
        axes.set_ylabel("test accuracy, %")
        finish(figure, axes)
        svg = inline(figure, f"{cost.name}-{board.block.slug}")
    texts = [_point(row, cost.write(value)) for row, value, _ in points]
    names = formats.listed([points[i][0].method for i in best])
    return Picture(
        svg,
        f"Test accuracy against {cost.name}, {board.block.title}. {'; '.join(texts)}. On the front: {names}.",
    )


def overview(boards: Sequence[Leaderboard], style: MethodStyles) -> Picture | None:
    """Draw all methods of the first blocks against seconds, a front for each block."""
    drawn = [(board, with_cost(board, SECONDS)) for board in boards]
    drawn = [(board, points) for board, points in drawn if points][:MOST]
    if not drawn:
        return None
    methods = sorted({row.method for _, points in drawn for row, *_ in points})
    seen: set[str] = set()
    names: list[tuple[str, tuple[float, float]]] = []
    with canvas(6.4, 3.7 + 0.2 * ((len(methods) + 3) // 4)) as (figure, axes):
        for dashes, (board, points) in zip(DASHES, drawn, strict=False):
            best = [points[i] for i in pareto_front([(value, accuracy) for _, value, accuracy in points])]
            x, y = [value for _, value, _ in best], [accuracy for *_, accuracy in best]
            axes.step(x, y, where="post", color=INK, linewidth=1.1, linestyle=dashes, alpha=0.65)
            names.append((board.block.short, (x[0], y[0])))
            for row, value, accuracy in points:
                tooltip = f"{_point(row, SECONDS.write(value))}, {board.block.short}"
                draw(axes, [value], [accuracy], row.method, style, tooltip, named=row.method not in seen)
                seen.add(row.method)
        cost_scale(axes, [value for _, points in drawn for _, value, _ in points], SECONDS.axis)
        axes.set_ylabel("test accuracy, %")
        finish(figure, axes, columns=4)
        label(
            figure, axes, names, [(value, accuracy) for _, points in drawn for _, value, accuracy in points]
        )
        svg = inline(figure, "overview")
    parts = [
        f"{board.block.title}: " + "; ".join(_point(row, SECONDS.write(value)) for row, value, _ in points)
        for board, points in drawn
    ]
    return Picture(svg, f"Test accuracy against seconds. {'. '.join(parts)}.")


def _point(row: Standing, cost: str) -> str:
    return f"{row.method} {formats.percent(row.accuracy)} % in {cost}"
