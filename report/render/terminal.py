"""Leaderboard in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from bench.core.text import counted, printable
from bench.report.scores.frame import methods_only
from bench.report.scores.words import Words
from bench.report.statistics.summary import negative_transfer
from bench.report.tables import formats
from bench.report.tables.completeness import Completeness
from bench.report.tables.gains import GainParts, gain_parts
from bench.report.tables.leaderboard import Leaderboard, Standing, leaderboards
from bench.report.tables.negative_transfer import of_block


def terminal_table(frame: pd.DataFrame, baseline: str, source_alone: str | None = None) -> Group:
    """Methods by their metric, gain over the baseline, seconds and negative transfer, a table per block.

    `frame` is that of `scores.frame.load_frame`. It is a mean over the cells that all methods share;
    `hurt` counts the pairs with negative transfer (see `bench.report.statistics.summary.negative_transfer`);
    where there are controls, `idea` is its part of the gain (see `bench.report.tables.gains.gain_parts`).
    """
    transfer = negative_transfer(frame, source_alone or baseline)
    parts = gain_parts(frame, baseline)
    boards = leaderboards(methods_only(frame), baseline)
    if not boards:
        return Group(Text("no records yet"))
    tables = [
        part
        for board in boards
        for part in (Text(heading(board), style="bold"), _table(board, transfer, parts))
    ]
    note = f"{Words.of_frame(frame).metric} in percent, mean over the shared cells; "
    note += f"gain in points over {baseline}; seconds alone"
    if parts:
        note += "; idea: points over the control, which has the same recipe; the rest is the recipe's"
    completeness = Completeness.of(frame)
    partial = [Text(line, style="bold") for line in completeness.lines if completeness.missing]
    return Group(*partial, *tables, Text(note, style="dim"))


def _table(board: Leaderboard, transfer: pd.DataFrame, parts: Sequence[GainParts]) -> Table:
    # Text, so that brackets in a method's name are not taken for markup.
    table = Table(box=box.SIMPLE_HEAD)
    ideas = {row.method: row.idea.points for row in parts if row.block == board.block}
    apart = ["idea"] if ideas else []
    for name in ("method", board.block.words.metric, "gain", *apart, "seconds", "hurt", "done"):
        left = name in ("method", "done")
        table.add_column(
            name,
            justify="left" if left else "right",
            overflow="fold",
            min_width=16 if name == "method" else None,
        )
    compared = of_block(transfer, board.block)
    for row in board.rows:
        mine = compared[compared["method"] == row.method]
        hurt = f"{int(mine['negative'].sum())} of {len(mine)}" if len(mine) else formats.percent(None)
        method, accuracy, gain, seconds, done = cells(row)
        idea = [formats.points(ideas.get(row.method))] if ideas else []
        written = (method, accuracy, gain, *idea, seconds, hurt, done)
        table.add_row(*(Text(printable(part)) for part in written))
    return table


def heading(board: Leaderboard) -> str:
    """Heading of a table: kind, supervision and how many cells the means go over."""
    return f"{board.block.title} ({counted(board.cells, 'shared cell')})"


def cells(row: Standing) -> list[str]:
    """Cells of one standing, as text: method, accuracy, gain, seconds and cells done."""
    done = f"{row.done} of {row.requested}" + (f" ({row.otherwise})" if row.otherwise else "")
    done += f", {row.unconverged} not converged" if row.unconverged else ""
    gain = "baseline" if row.is_baseline else formats.points(row.gain.points)
    return [row.method, formats.percent(row.accuracy), gain, formats.seconds(row.seconds), done]
