"""The leaderboard in the terminal."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from report import formats
from report.tables import Leaderboard, Standing, leaderboards


def terminal_table(frame: pd.DataFrame, baseline: str) -> Group:
    """Methods by accuracy, gain over the baseline and seconds, a table per kind and shots.

    `frame` is that of `report.frame.load_frame`. Accuracy is the mean over the cells that all methods share.
    """
    boards = leaderboards(frame, baseline)
    if not boards:
        return Group(Text("no records yet"))
    tables = [part for board in boards for part in (Text(heading(board), style="bold"), _table(board))]
    note = f"accuracy in percent, mean over the shared cells; gain in points over {baseline}; seconds alone"
    return Group(*tables, Text(note, style="dim"))


def _table(board: Leaderboard) -> Table:
    # Text, so that brackets in a method's name are not taken for markup.
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("method", "accuracy", "gain", "seconds", "done"):
        table.add_column(name, justify="left" if name in ("method", "done") else "right", overflow="fold")
    for row in board.rows:
        table.add_row(*(Text(part) for part in cells(row)))
    return table


def heading(board: Leaderboard) -> str:
    """Kind, shots and how many cells the means go over."""
    return f"{board.block.title} ({formats.several(board.cells, 'shared cell')})"


def cells(row: Standing) -> list[str]:
    """Method, accuracy, gain, seconds and cells of one standing, as text."""
    done = f"{row.done} of {row.asked}" + (f" ({row.otherwise})" if row.otherwise else "")
    gain = "baseline" if row.is_baseline else formats.points(row.gain.points)
    return [row.method, formats.percent(row.accuracy), gain, formats.seconds(row.seconds), done]
