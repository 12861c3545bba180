"""Figures of a block, or of a kind of transfer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from bench.records.selection import HEADLINE
from bench.report.figures.drawing import (
    INK,
    PAPER,
    Drawing,
    MethodStyles,
    Picture,
    canvas,
    draw,
    finish,
    inline,
    tip,
)
from bench.report.scores.frame import accuracy_column
from bench.report.scores.parts import PartAccuracies, in_tasks
from bench.report.scores.words import Words
from bench.report.statistics.aggregate import profiles
from bench.report.statistics.summary import scored, shared
from bench.report.tables.gains import by_shots
from bench.report.tables.leaderboard import Block
from bench.report.tables.methods.curves import learning
from bench.report.tables.scenarios.parts import ClientRow


def heat_maps(frame: pd.DataFrame, block: Block) -> list[tuple[str, Picture]]:
    """Draw per method the mean headline accuracy in percent by source (rows) and target (columns).

    All on one colour scale. Cells of kind `pretrained` that ask the same of the same target are a row of
    their own, so that a source that does harm stands below it. Methods without a scored cell in the block are
    left out.
    """
    mine = scored(block.of(frame))
    without = (frame["kind"] == "pretrained") & frame["goal"].isin(mine["goal"])
    cells = scored(frame[without | frame.index.isin(mine.index)])
    # Those in parts have no pair.
    cells = cells[cells["parts"].map(lambda parts: isinstance(parts, PartAccuracies)).eq(False)]
    methods = sorted(cells.loc[cells["kind"] == block.kind, "method"].unique())
    cells = cells[cells["method"].isin(methods)].assign(source=cells["source"].fillna("pretrained"))
    column = accuracy_column()
    means = cells.groupby(["method", "source", "target"])[column].mean()
    if means.empty:
        return []
    limits = float(means.min()), float(means.max())
    sources = sorted(cells["source"].unique(), key=lambda name: (name == "pretrained", name))
    targets = sorted(cells["target"].unique())
    maps = []
    for index, method in enumerate(methods):
        grid = means[method].unstack("target").reindex(index=sources, columns=targets)
        drawing = heat_map(grid, limits, f"heat-{block.slug}-{index}")
        stacked = grid.stack().dropna()
        values = [f"{source} to {target} {value:.1f}" for (source, target), value in stacked.items()]
        alt = f"{method}: test {block.words.metric} in percent by source and target. {', '.join(values)}."
        maps.append((method, Picture(drawing, alt)))
    return maps


def task_maps(frame: pd.DataFrame, block: Block) -> list[tuple[str, Picture]]:
    """Draw per method the accuracy in percent on each task (columns) after each (rows), a mean over orders.

    All on one colour scale. Below the diagonal is what is remembered of tasks, above it what is known of them
    before they come.
    """
    cells = shared(block.of(frame))
    cells = cells[cells["parts"].map(in_tasks).eq(True)]
    by_method = cells.groupby("method")["parts"]
    means = {str(method): np.mean([each.matrix for each in found], 0) for method, found in by_method}
    maps = []
    for index, (method, matrix) in enumerate(means.items()):
        names = [f"task {number + 1}" for number in range(len(matrix))]
        grid = pd.DataFrame(
            matrix, pd.Index(names, name="after"), pd.Index(names, name=f"test {block.words.items} of")
        )
        limits = min(map(np.min, means.values())), max(map(np.max, means.values()))
        drawing = heat_map(grid, limits, f"tasks-{block.slug}-{index}")
        rows = [", ".join(f"{value:.1f}" for value in row) for row in matrix]
        values = "; ".join(f"after {after} {row}" for after, row in zip(names, rows, strict=True))
        alt = f"{method}: test accuracy in percent by task. {values}."
        maps.append((method, Picture(drawing, alt)))
    return maps


def accuracy_by_bytes(rows: Sequence[ClientRow], block: Block, style: MethodStyles) -> Picture | None:
    """Draw the mean accuracy over a block's clients against the bytes that were sent, where some were."""
    known = [row for row in rows if row.block == block and row.sent is not None]
    if not any(row.sent for row in known):
        return None
    with canvas(5.0, 3.6 + 0.2 * ((len(known) + 1) // 2)) as (figure, axes):
        for row in known:
            draw(axes, [(row.sent or 0) / 2**20], [row.average], row.method, style)
        axes.set(xlabel="sent in all rounds, MiB", ylabel="mean accuracy over clients, %")
        finish(figure, axes)
        svg = inline(figure, f"bytes-{block.slug}")
    texts = "; ".join(f"{row.method} {row.average:.1f} for {row.sent:,.0f}" for row in known)
    return Picture(svg, f"Mean accuracy in percent over clients, and bytes sent, {block.title}. {texts}.")


def stream_curves(frame: pd.DataFrame, block: Block, style: MethodStyles) -> Picture | None:
    """Mean accuracy of the images so far by the share of a stream that has come, where images came in one."""
    cells = shared(block.of(frame))
    cells = cells[cells["stream"].map(lambda order: isinstance(order, np.ndarray)).eq(True)]
    if cells.empty:
        return None
    shares = np.linspace(0.1, 1.0, 10)
    curves: dict[str, list[np.ndarray]] = {}
    columns = (cells[name] for name in ("method", "predictions", "stream"))
    for method, predicted, order in zip(*columns, strict=True):
        right = predicted.correct[HEADLINE][order].cumsum()
        seen = np.maximum(1, np.round(shares * len(right)).astype(int))
        curves.setdefault(method, []).append(100 * right[seen - 1] / seen)
    means = {method: np.mean(curves[method], 0) for method in sorted(curves)}
    with canvas(5.0, 3.6 + 0.2 * ((len(means) + 1) // 2)) as (figure, axes):
        for method, values in means.items():
            draw(axes, 100 * shares, values, method, style)
        axes.set(xlabel=f"test {block.words.items} that have come, %", ylabel="accuracy so far, %")
        finish(figure, axes)
        svg = inline(figure, f"stream-{block.slug}")
    ends = [f"{name} from {values[0]:.1f} to {values[-1]:.1f}" for name, values in means.items()]
    return Picture(svg, f"Accuracy in percent over the stream, {block.title}. {'; '.join(ends)}.")


def heat_map(grid: pd.DataFrame, limits: tuple[float, float], name: str) -> Drawing:
    """Draw a table of numbers in colours between two limits; its axes are named as its index and columns."""
    rows, columns = grid.shape
    with canvas(1.1 + 0.62 * columns, 0.95 + 0.42 * rows) as (figure, axes):
        low, high = limits
        sns.heatmap(
            grid,
            vmin=low,
            vmax=max(high, low + 1e-9),
            cmap="viridis",
            annot=True,
            fmt=".1f",
            annot_kws={"fontsize": 10},
            linewidths=1,
            linecolor=PAPER,
            cbar=False,
            ax=axes,
        )
        axes.set(xlabel=grid.columns.name, ylabel=grid.index.name)
        slanted = columns > 3
        axes.tick_params(axis="x", rotation=35 if slanted else 0)
        axes.tick_params(axis="y", rotation=0)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right" if slanted else "center")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return inline(figure, name)


def learning_curves(frame: pd.DataFrame, block: Block, style: MethodStyles) -> Picture | None:
    """Mean test accuracy at each evaluation of the last stage, by optimiser step.

    For inspection only: it is drawn from target test labels, and no evaluation may be chosen by it.
    """
    means = learning(frame, block)
    if means.shape[1] < 2:
        return None
    methods = sorted(means.index)
    with canvas(5.0, 3.6 + 0.2 * ((len(methods) + 1) // 2)) as (figure, axes):
        for method in methods:
            known = means.loc[method].dropna()
            draw(axes, known.index, known.to_numpy(), method, style)
        axes.set(xlabel="optimiser step of the last stage", ylabel=f"test {block.words.metric}, %")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        finish(figure, axes)
        svg = inline(figure, f"curve-{block.slug}")
    known = {name: means.loc[name].dropna() for name in methods}
    ends = [f"{name} from {each.iloc[0]:.1f} to {each.iloc[-1]:.1f}" for name, each in known.items()]
    return Picture(svg, f"Test {block.words.metric} in percent by step, {block.title}. {'; '.join(ends)}.")


def shots_curves(frame: pd.DataFrame, style: MethodStyles) -> list[tuple[str, Picture]]:
    """Draw per kind the mean accuracy by shots (`tables.gains.by_shots`), where there are several."""
    found, words = [], Words.of_frame(frame)
    for kind in sorted(frame["kind"].dropna().unique()):
        table = by_shots(frame, kind)
        if table.shape[1] < 2:
            continue
        with canvas(5.0, 3.6 + 0.2 * ((len(table) + 1) // 2)) as (figure, axes):
            places = pd.Series(range(table.shape[1]), table.columns)
            for method, row in table.iterrows():
                known = row.dropna()
                draw(axes, places[known.index].to_numpy(), known.to_numpy(), str(method), style)
            # What any method reaches: the front of accuracy against labels.
            best = table.max().cummax()
            axes.plot(places.to_numpy(), best.to_numpy(), color=INK, linewidth=1.0, linestyle="--", alpha=0.6)
            axes.set(xlabel=f"labelled target {words.items} per class", ylabel=f"test {words.metric}, %")
            axes.set_xticks(places.to_numpy(), places.index)
            finish(figure, axes)
            svg = inline(figure, f"shots-{kind}")
        texts = [
            f"{method} {', '.join(f'{value:.1f} at {shots}' for shots, value in row.dropna().items())}"
            for method, row in table.iterrows()
        ]
        alt = f"Test {words.metric} in percent by shots, {kind}. {'; '.join(texts)}."
        found.append((kind, Picture(svg, alt)))
    return found


def performance_profiles(frame: pd.DataFrame, block: Block, style: MethodStyles) -> Picture | None:
    """Share of the shared cells above an accuracy, by accuracy (`statistics.aggregate.profiles`)."""
    curves = profiles(block.of(frame))
    if len(curves) < 3 or curves.shape[1] < 2:
        return None
    with canvas(5.0, 3.6 + 0.2 * ((curves.shape[1] + 1) // 2)) as (figure, axes):
        for method in curves:
            (line,) = axes.step(
                curves.index, curves[method], where="post", color=style[method][0], label=method
            )
            tip(line, method, method)
            # Few markers, so that methods of one colour are told apart.
            (mark,) = axes.plot(*_middle(curves[method]), color=style[method][0], marker=style[method][1])
            tip(mark, method, method)
        axes.set(xlabel=f"test {block.words.metric}, %", ylabel="cells above, %", ylim=(0, 103))
        finish(figure, axes)
        svg = inline(figure, f"profile-{block.slug}")
    half = [f"{name} {_middle(curves[name])[0][0]:.1f}" for name in curves]
    return Picture(svg, f"Performance profiles, {block.title}. Median cells, percent: {'; '.join(half)}.")


def _middle(curve: pd.Series) -> tuple[list[float], list[float]]:
    """Point where a falling curve crosses one half."""
    place = int((curve.to_numpy() > 50.0).sum())
    return [float(curve.index[min(place, len(curve) - 1)])], [50.0]
