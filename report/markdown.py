"""The leaderboard as Markdown."""

from __future__ import annotations

import re

import pandas as pd

from report import formats
from report.tables import leaderboards


def markdown_table(frame: pd.DataFrame, baseline: str) -> str:
    """A Markdown table per kind and shots, each under its title in bold; ends with a newline.

    `frame` is that of `report.frame.load_frame`.
    """
    parts = []
    for board in leaderboards(frame, baseline):
        lines = [
            f"**{board.block.title}** ({formats.several(board.cells, 'shared cell')})",
            "",
            "| method | accuracy, % | 95 % interval | gain, points | seconds alone |",
            "| --- | ---: | ---: | ---: | ---: |",
        ]
        for row in board.rows:
            gain = "baseline" if row.is_baseline else formats.points(row.gain.points)
            values = [escape(row.method), formats.percent(row.accuracy), formats.interval(row.interval)]
            values += [gain, formats.seconds(row.seconds)]
            lines.append(f"| {' | '.join(values)} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts) or "No records yet.\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is: no table breaks, no markup, no HTML."""
    return re.sub(r"([\\`*_{}\[\]<>|])", r"\\\1", " ".join(text.split()))
