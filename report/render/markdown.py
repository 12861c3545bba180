"""Leaderboard as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from bench.core.text import counted, printable
from bench.report.scores.frame import methods_only
from bench.report.tables import formats
from bench.report.tables.completeness import Completeness
from bench.report.tables.leaderboard import leaderboards

COLUMNS = {
    **{"method": False, "accuracy, %": True, "95 % interval": True},
    **{"gain, points": True, "seconds alone": True},
}


def markdown_table(frame: pd.DataFrame, baseline: str) -> str:
    """Markdown table per kind and shots, each under its title in bold; ends with a newline.

    `frame` is that of `bench.report.scores.frame.load_frame`.
    """
    completeness = Completeness.of(frame)
    parts = [f"{escape(line)}\n" for line in completeness.lines if completeness.missing]
    for board in leaderboards(methods_only(frame), baseline):
        title = f"**{board.block.title}** ({counted(board.cells, 'shared cell')})"
        rows = [
            [
                *(row.method, formats.percent(row.accuracy), formats.interval(row.interval)),
                "baseline" if row.is_baseline else formats.points(row.gain.points),
                formats.seconds(row.seconds),
            ]
            for row in board.rows
        ]
        parts.append(f"{title}\n\n{pipes(COLUMNS, rows)}")
    return "\n".join(parts) or "No records yet.\n"


def pipes(columns: Mapping[str, bool], rows: Iterable[Sequence[str]]) -> str:
    """Markdown table, ending with a newline; `columns` says which of them are numbers, to the right."""
    head = [[escape(name) for name in columns], ["---:" if right else "---" for right in columns.values()]]
    return "".join(f"| {' | '.join(row)} |\n" for row in [*head, *(map(escape, row) for row in rows)])


def escape(text: str) -> str:
    """Text that Markdown shows as it is: no table breaks, no markup, no HTML, nothing invisible."""
    return re.sub(r"([\\`*_{}\[\]<>|])", r"\\\1", printable(" ".join(text.split())))
