"""Diagram of average ranks: who is better than whom, and who cannot be told apart."""

from __future__ import annotations

import math

from bench.report.figures.drawing import COLOURS, INK, Picture, canvas, inline, tip
from bench.report.statistics.ranks import Ranks
from bench.report.tables.leaderboard import Block

BAR, ROW = 0.35, 1.0
"""Heights of a bar and of a label, in rows of labels."""


def critical_differences(ranks: Ranks, block: Block) -> Picture | None:
    """Draw methods on the line of average ranks, bars over those that Nemenyi's test does not tell apart.

    Demšar 2006, figure 1: the better half of the methods is named on the left, the others on the right. None
    where ranks cannot be tested.
    """
    if ranks.critical is None:
        return None
    names, places = list(ranks.mean), list(ranks.mean.values())
    low = math.floor(places[0])
    high = max(math.ceil(places[-1]), low + 1)
    levels = _levels(ranks.groups)
    top = BAR * (max(levels, default=0) + 2)
    half = math.ceil(len(names) / 2)
    with canvas(7.0, 0.5 + 0.2 * (top + half)) as (figure, axes):
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.spines["top"].set_visible(True)
        axes.xaxis.tick_top()
        axes.set(xlim=(low, high), ylim=(top + half, 0.0), xticks=range(low, high + 1), yticks=[])
        for number, (name, place) in enumerate(ranks.mean.items()):
            left = number < half
            row, edge = top + ROW * (number if left else len(names) - 1 - number), low if left else high
            (line,) = axes.plot([place, place, edge], [0.0, row, row], color=INK, linewidth=0.8)
            tip(line, f"{name}: {place:.2f}", name)
            text = f"{name} ({place:.1f}) " if left else f" ({place:.1f}) {name}"
            axes.text(edge, row, text, ha="right" if left else "left", va="center")
        for (first, last), level in zip(ranks.groups, levels, strict=True):
            ends, heights = [places[first], places[last]], [BAR * (level + 1)] * 2
            (bar,) = axes.plot(ends, heights, color=COLOURS[0], linewidth=3)
            tip(bar, f"{names[first]} to {names[last]}: not told apart")
        svg = inline(figure, f"ranks-{block.slug}")
    text = ", ".join(f"{name} {rank:.1f}" for name, rank in ranks.mean.items())
    return Picture(svg, f"Average ranks, {block.title}: {text}. Critical difference {ranks.critical:.2f}.")


def _levels(groups: list[tuple[int, int]]) -> list[int]:
    """Line of each bar, so that no two on a line touch; first and last places of groups both rise."""
    ends: list[int] = []
    levels = []
    for first, last in groups:
        level = next((level for level, end in enumerate(ends) if end < first), len(ends))
        ends[level : level + 1] = [last]
        levels.append(level)
    return levels
