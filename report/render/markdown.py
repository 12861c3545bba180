"""Leaderboard as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from bench.core.text import counted, printable
from bench.report.scores.frame import methods_only
from bench.report.statistics.equal_budget import equal_budget
from bench.report.tables import formats
from bench.report.tables.completeness import Completeness
from bench.report.tables.leaderboard import Block, blocks, leaderboards

COLUMNS = {
    **{"method": False, "{metric}, %": True, "95 % interval": True},
    **{"gain, points": True, "seconds alone": True, "items seen (all)": True},
}


def markdown_table(frame: pd.DataFrame, baseline: str) -> str:
    """Markdown table per kind and shots, each under its title in bold; ends with a newline.

    `frame` is that of `bench.report.scores.frame.load_frame`.
    """
    completeness = Completeness.of(frame)
    partial = completeness.missing or completeness.others
    parts = [f"{escape(line)}\n" for line in completeness.lines if partial]
    for board in leaderboards(methods_only(frame), baseline):
        title = f"**{board.block.title}** ({counted(board.cells, 'shared cell')})"
        rows = [
            [
                *(row.method, formats.percent(row.accuracy), formats.interval(row.interval)),
                "baseline" if row.is_baseline else formats.points(row.gain.points),
                formats.seconds(row.seconds),
                formats.count(row.items),
            ]
            for row in board.rows
        ]
        if board.upper:
            name = f"upper bound: {board.upper.method}, all target labels"
            rows.append([name, formats.percent(board.upper.accuracy), *[formats.DASH] * 4])
        parts.append(f"{title}\n\n{pipes(_named(COLUMNS, board.block), rows)}")
    return "\n".join(parts) or "No records yet.\n"


EQUAL = {
    **{"method": False, "{metric}, %": True, "spent": True},
    **{"cut at": False, "at the end, %": True},
}


def equal_table(frame: pd.DataFrame, measure: str) -> str:
    """Markdown table per kind and shots of methods at equal budget; ends with a newline.

    Args:
        frame: of `bench.report.scores.frame.load_frame`.
        measure: one of `bench.report.scores.spending.MEASURES`.
    """
    parts, frame = [], methods_only(frame)
    for block in blocks(frame):
        if equal := equal_budget(block.of(frame), measure):
            title = f"**{block.title}** at {equal.size} ({counted(equal.cells, 'shared cell')})"
            rows = [
                [
                    *(row.method, formats.percent(row.accuracy), equal.text(row.spent)),
                    *(row.cut or formats.DASH, formats.percent(row.final)),
                ]
                for row in equal.rows
            ]
            rows += [
                [method, formats.DASH, f"first at {equal.text(first)}", *[formats.DASH] * 2]
                for method, first in equal.beyond
            ]
            parts.append(f"{title}\n\n{pipes(_named(EQUAL, block), rows)}")
    return "\n".join(parts) or f"No methods that can be compared at equal {measure}.\n"


def _named(columns: Mapping[str, bool], block: Block) -> dict[str, bool]:
    return {block.words.fill(name): right for name, right in columns.items()}


def pipes(columns: Mapping[str, bool], rows: Iterable[Sequence[str]]) -> str:
    """Markdown table, ending with a newline; `columns` says which of them are numbers, to the right."""
    head = [[escape(name) for name in columns], ["---:" if right else "---" for right in columns.values()]]
    return "".join(f"| {' | '.join(row)} |\n" for row in [*head, *(map(escape, row) for row in rows)])


def escape(text: str) -> str:
    """Text that Markdown shows as it is: no table breaks, no markup, no HTML, nothing invisible."""
    return re.sub(r"([\\`*_{}\[\]<>|])", r"\\\1", printable(" ".join(text.split())))
