"""Figures of the series of the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.report.figures.drawing import INK, Picture, canvas, draw, finish, inline, method_styles
from bench.report.history.series import ChangePoint, Series
from bench.report.scores.words import first_upper
from bench.report.tables.formats import listed, percent, seconds

TICKS = 12
"""Revisions named on an axis, at most."""


@dataclass(frozen=True)
class Panel:
    """Figure and the series in it: one quantity of one suite, seconds on one machine."""

    title: str
    picture: Picture
    series: tuple[Series, ...]


def short_revision(revision: str) -> str:
    """Beginning of a commit, with the `+` that says that files differed from it."""
    return f"{revision[:8]}+" if revision.endswith("+") and len(revision) > 9 else revision[:9]


def with_unit(series: Series, value: float) -> str:
    """Value of a series with its unit."""
    return f"{percent(value)} %" if series.quantity == "accuracy" else seconds(value)


def describe_change(series: Series, change: ChangePoint) -> str:
    """Change in words, as `48.2 % to 45.0 % from 1a2b3c4 on (2024-05-01)`."""
    values = " to ".join(with_unit(series, value) for value in (change.before, change.after))
    revision, date = series.revisions[change.place], series.dates[change.place]
    return f"{values} from {short_revision(revision)} on ({date:%Y-%m-%d})"


def panels(found: Sequence[Series]) -> dict[str, list[Panel]]:
    """Figures of every suite, by its name."""
    groups: dict[tuple[str, str, str, str, bool], list[Series]] = {}
    for s in found:
        groups.setdefault((s.suite, s.quantity, s.metric, s.machine, s.calibrated), []).append(s)
    suites: dict[str, list[Panel]] = {}
    for number, ((suite, quantity, metric, where, calibrated), mine) in enumerate(groups.items()):
        title = first_upper(metric) if quantity == "accuracy" else f"Seconds, {where}"
        if quantity == "seconds" and not calibrated:
            title += ", not normalised"
        picture = _picture(f"{suite}: {title}", mine, f"history-{number}")
        suites.setdefault(suite, []).append(Panel(title, picture, tuple(mine)))
    return suites


def _picture(title: str, found: Sequence[Series], name: str) -> Picture:
    dated = {revision: date for s in found for revision, date in zip(s.revisions, s.dates, strict=True)}
    places = {revision: i for i, revision in enumerate(sorted(dated, key=lambda r: (dated[r], r)))}
    style = method_styles({s.name for s in found})
    accuracy = found[0].quantity == "accuracy"
    in_legend: set[str] = set()
    with canvas(7.0, 3.6 + 0.2 * ((len(style.of) + 1) // 2)) as (figure, axes):
        for s in found:
            x = [places[revision] for revision in s.revisions]
            draw(axes, x, s.values, s.name, style, named=s.name not in in_legend)
            in_legend.add(s.name)
            rings = [change.place for change in s.changes]
            axes.plot(
                [x[i] for i in rings],
                [s.values[i] for i in rings],
                color=INK,
                fillstyle="none",
                linestyle="none",
                marker="o",
                markersize=15,
            )
        shown = list(places)[:: max(1, -(-len(places) // TICKS))]
        axes.set_xticks(
            [places[r] for r in shown], [short_revision(r) for r in shown], rotation=35, ha="right"
        )
        axes.set(xlabel="revision", ylabel=f"test {found[0].metric}, %")
        if not accuracy:
            _seconds_scale(axes, [value for s in found for value in s.values])
        finish(figure, axes)
        drawing = inline(figure, name)
    ends = [f"{s.name} {with_unit(s, s.values[0])} to {with_unit(s, s.values[-1])}" for s in found]
    changes = [f"{s.name} {describe_change(s, change)}" for s in found for change in s.changes]
    over = f"{title} over {len(places)} revisions. {'; '.join(ends)}."
    return Picture(drawing, f"{over} Changes: {listed(changes)}." if changes else f"{over} No change point.")


def _seconds_scale(axes: Axes, values: Sequence[float]) -> None:
    """Scale a y axis from zero, so that a step is as high as it matters; logarithmic over long ranges."""
    axes.set_ylabel("seconds")
    if max(values) < 5 * min(values):
        axes.set_ylim(0, 1.15 * max(values))
        return
    axes.set_ylabel("seconds (log scale)")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
