"""Figure of published accuracies beside ours: hollow marks beside filled ones, in no order but the names'."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle
from statistics import fmean

from matplotlib.lines import Line2D

from bench.core.text import counted
from bench.report.figures.drawing import INK, MARKERS, MethodStyles, Picture, canvas, inline, tip
from bench.report.scores.external import AVERAGE
from bench.report.tables.published import PublishedComparison

HOLLOW = "published"
"""Beginning of the names of published series."""

Mark = tuple[str, str, float]
"""Method, series and accuracy in percent."""


def published_marks(rows: Sequence[PublishedComparison], style: MethodStyles) -> list[tuple[str, Picture]]:
    """Draw per dataset and shots the mean accuracy of each method, a marker for each series of results.

    Over all pairs of domains where that was published and run, else over the pairs that are in the table; a
    series that lacks one of them for a method has no mark there.
    """
    by_question: dict[tuple[str, str], list[PublishedComparison]] = defaultdict(list)
    for row in rows:
        by_question[row.published.dataset, row.published.shots].append(row)
    drawn = []
    for (dataset, shots), found in by_question.items():
        pairs = {row.published.pair for row in found}
        pairs = {AVERAGE} if AVERAGE in pairs else pairs
        if marks := _marks(found, pairs):
            picture = _picture(marks, pairs, style, f"published-{dataset}-{shots}")
            drawn.append((f"{dataset} at {shots} shots", picture))
    return drawn


def _marks(rows: Sequence[PublishedComparison], pairs: set[str]) -> list[Mark]:
    """Means over these pairs, of the methods and series that have all of them."""
    values: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        ours, each = row.ours, row.published
        if each.pair not in pairs:
            continue
        method = ours.method if ours else each.method
        values[method, f"{HOLLOW}, {each.origin}" if each.origin else HOLLOW][each.pair] = each.accuracy
        if ours:
            for rule, accuracy in (("last", ours.last), ("oracle", ours.oracle)):
                if accuracy is not None:
                    values[method, f"ours, {ours.backbone}, {rule}"][each.pair] = accuracy
    return [(*key, fmean(found.values())) for key, found in values.items() if len(found) == len(pairs)]


def _picture(marks: Sequence[Mark], pairs: set[str], style: MethodStyles, name: str) -> Picture:
    over = "all pairs" if AVERAGE in pairs else min(pairs) if len(pairs) == 1 else counted(len(pairs), "pair")
    series = sorted({which for _, which, _ in marks})
    markers = dict(zip(series, cycle(MARKERS), strict=False))
    places = {method: -place for place, method in enumerate(sorted({m for m, *_ in marks}, key=str.lower))}
    with canvas(6.4, 1.0 + 0.22 * len(places) + 0.2 * len(series)) as (figure, axes):

        def draw(method: str, which: str, x: Sequence[float], y: Sequence[float]) -> Line2D:
            colour = style[method][0] if method in style else INK
            (mark,) = axes.plot(
                x, y, color=colour, marker=markers[which], markersize=7, linestyle="none", label=which
            )
            if which.startswith(HOLLOW):
                mark.set_markerfacecolor("none")
            return mark

        for method, which, accuracy in marks:
            tip(
                draw(method, which, [accuracy], [places[method]]),
                f"{method} {accuracy:.1f} %, {which}",
                method,
            )
        legend = [draw("", which, [], []) for which in series]
        axes.set_xlabel(f"test accuracy, %, over {over}")
        axes.set_yticks([*places.values()], [*places])
        axes.set_ymargin(0.05)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        figure.legend(legend, series, loc="outside lower center", ncols=1, handletextpad=0.4)
        svg = inline(figure, name)
    texts = [f"{method} {accuracy:.1f} ({which})" for method, which, accuracy in marks]
    return Picture(svg, f"Test accuracy in percent over {over}. {'; '.join(texts)}.")
