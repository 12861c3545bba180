"""Figure of published accuracies beside ours: hollow marks beside filled ones, in no order but the names'."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle
from statistics import fmean

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
    return [
        (f"{dataset} at {shots} shots", _picture(found, style, f"published-{dataset}-{shots}"))
        for (dataset, shots), found in by_question.items()
    ]


def _marks(rows: Sequence[PublishedComparison], pairs: set[str]) -> list[Mark]:
    """Means over these pairs, of the methods and series that have all of them."""
    values: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        ours, each = row.ours, row.published
        if each.pair not in pairs:
            continue
        method = ours.method if ours else each.method
        values[method, f"{HOLLOW}, {each.origin}" if each.origin else HOLLOW][each.pair] = each.accuracy
        for rule, accuracy in (("last", ours.last), ("oracle", ours.oracle)) if ours else ():
            if ours and accuracy is not None:
                values[method, f"ours, {ours.backbone}, {rule}"][each.pair] = accuracy
    return [(*key, fmean(found.values())) for key, found in values.items() if len(found) == len(pairs)]


def _picture(rows: Sequence[PublishedComparison], style: MethodStyles, name: str) -> Picture:
    pairs = {row.published.pair for row in rows}
    pairs = {AVERAGE} if AVERAGE in pairs else pairs
    over = "all pairs" if AVERAGE in pairs else min(pairs) if len(pairs) == 1 else counted(len(pairs), "pair")
    marks = _marks(rows, pairs)
    series = sorted({which for _, which, _ in marks})
    markers = dict(zip(series, cycle(MARKERS), strict=False))
    places = {method: -place for place, method in enumerate(sorted({m for m, *_ in marks}, key=str.lower))}
    with canvas(6.4, 1.0 + 0.22 * len(places) + 0.2 * len(series)) as (figure, axes):
        named: set[str] = set()
        for method, which, accuracy in marks:
            colour = style[method][0] if method in style else INK
            (mark,) = axes.plot([accuracy], [places[method]], color=colour, marker=markers[which])
            mark.set(markersize=7, label=None if which in named else which)
            if which.startswith(HOLLOW):
                mark.set_markerfacecolor("none")
            tip(mark, f"{method} {accuracy:.1f} %, {which}")
            named.add(which)
        axes.set_xlabel(f"test accuracy, %, over {over}")
        axes.set_yticks([*places.values()], [*places])
        axes.set_ymargin(0.05)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        figure.legend(loc="outside lower center", ncols=1, handletextpad=0.4)
        svg = inline(figure, name)
    texts = [f"{method} {accuracy:.1f} ({which})" for method, which, accuracy in marks]
    return Picture(svg, f"Test accuracy in percent over {over}. {'; '.join(texts)}.")
