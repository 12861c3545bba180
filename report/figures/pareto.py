"""Accuracy against what it costs, with Pareto fronts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.report.figures.drawing import (
    INK,
    OF_ALL,
    MethodStyles,
    Picture,
    canvas,
    cost_scale,
    draw,
    inline,
    label,
    tip,
)
from bench.report.tables import formats
from bench.report.tables.leaderboard import Leaderboard, Standing
from bench.report.tables.methods.decision import decide


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
    return _picture(board, with_cost(board, cost), cost, style, Limits()) if with_cost(board, cost) else None


def panels(boards: Sequence[Leaderboard], style: MethodStyles) -> list[tuple[Leaderboard, Picture]]:
    """Draw accuracy against seconds in a panel for each block, all with the same axes."""
    drawn = [(board, points) for board in boards if (points := with_cost(board, SECONDS))]
    ends = [
        (end, value)
        for _, points in drawn
        for row, value, accuracy in points
        for end in (*(row.interval or ()), accuracy)
    ]
    if not ends:
        return []
    costs, heights = [value for _, value in ends], [end for end, _ in ends]
    low, high = min(heights), max(heights)
    # Of what is nearly equal hundredths of a point would fill the figure, on scales that end above 100 %.
    span = max(high - low, LEAST)
    high = min((low + high + span) / 2, max(high, 100.0))
    room = 0.06 * span
    limits = Limits((min(costs), max(costs)), (high - span - room, high + 2 * room), "panel", (4.1, 3.0))
    return [(board, _picture(board, points, SECONDS, style, limits)) for board, points in drawn]


LEAST = 2.0
"""Points that the axes of accuracies span at least."""


@dataclass(frozen=True)
class Limits:
    """Limits of costs and accuracies that figures share, None: their own; their name and size in inches."""

    costs: tuple[float, float] | None = None
    heights: tuple[float, float] | None = None
    name: str = ""
    size: tuple[float, float] = (5.2, 3.8)


def _picture(
    board: Leaderboard,
    points: Sequence[tuple[Standing, float, float]],
    cost: CostAxis,
    style: MethodStyles,
    limits: Limits,
) -> Picture:
    best = pareto_front([(value, accuracy) for _, value, accuracy in points])
    width, height = limits.size
    with canvas(width, height) as (figure, axes):
        # Steps: at any cost in between, the cheaper method is what one can have.
        x, y = [points[i][1] for i in best], [points[i][2] for i in best]
        (front,) = axes.step(x, y, where="post", color=INK, linewidth=1.0, linestyle="--", alpha=0.6)
        front.set_gid(OF_ALL)
        for row, value, accuracy in sorted(points, key=lambda point: point[0].method):
            if row.interval:
                colour = style[row.method][0]
                (bar,) = axes.plot([value] * 2, row.interval, color=colour, linewidth=1.2, alpha=0.6)
                tip(bar, row.method, row.method)
            draw(axes, [value], [accuracy], row.method, style, _point(row, cost.write(value)))
        cost_scale(axes, limits.costs or [value for _, value, _ in points], cost.axis)
        axes.set_ylabel(f"test {board.block.words.metric}, %")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.set_ymargin(0.15)
        axes.set_ylim(limits.heights)
        places = {row.method: (value, accuracy) for row, value, accuracy in points}
        named = [name for name in _named(board, points, best) if name in places]
        label(figure, axes, [(name, places[name]) for name in named], [*places.values()])
        svg = inline(figure, f"{limits.name or cost.name}-{board.block.slug}")
    texts = [_point(row, cost.write(value)) for row, value, _ in points]
    names = formats.listed([points[i][0].method for i in best])
    return Picture(
        svg,
        f"Test {board.block.words.metric} against {cost.name}, {board.block.title}. {'; '.join(texts)}. "
        f"On the front: {names}.",
    )


LABELLED = 10
"""Points up to which each is labelled; of more, only those that matter for a decision."""


def _named(
    board: Leaderboard, points: Sequence[tuple[Standing, float, float]], front: Sequence[int]
) -> list[str]:
    """Methods to label: those of the decision, the baseline, the front; and all others if they are few."""
    ranked = [*decide(board).named, board.baseline, *(points[i][0].method for i in reversed(front))]
    if len(points) <= LABELLED:
        ranked += [row.method for row, *_ in points]
    return list(dict.fromkeys(ranked))


def _point(row: Standing, cost: str) -> str:
    return f"{row.method} {formats.percent(row.accuracy)} % in {cost}"
