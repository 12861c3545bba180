"""Page of the history, and its table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from bench.core.text import counted, printable
from bench.report.history.figures import describe_change, panels, short_revision, with_unit
from bench.report.history.series import Series
from bench.report.render.templates import asset, environment


def render(found: Sequence[Series], damaged: Sequence[str] = ()) -> str:
    """Render the history as one self-contained HTML page. The same series give the same text.

    Args:
        damaged: a line for each that could not be read.
    """
    page = environment()
    for function in (short_revision, describe_change, with_unit):
        page.filters[function.__name__] = function
    return page.get_template("history.html").render(
        css=asset("page.css"), js=asset("page.js"), suites=panels(found), damaged=damaged
    )


COLUMNS = ("method or benchmark", "revisions", "first", "last", "changes")


def terminal_table(found: Sequence[Series]) -> Group:
    """Table per suite, quantity and machine."""
    if not found:
        return Group(Text("no history yet: bench history add RESULTS"))
    parts: list[Text | Table] = []
    for suite, shown in panels(found).items():
        for panel in shown:
            table = Table(box=box.SIMPLE_HEAD)
            for name in COLUMNS:
                right = name in ("revisions", "first", "last")
                table.add_column(name, justify="right" if right else "left", overflow="fold")
            for s in panel.series:
                values = (str(len(s.values)), with_unit(s, s.values[0]), with_unit(s, s.values[-1]))
                changed = "; ".join(describe_change(s, change) for change in s.changes) or "none"
                table.add_row(*(Text(printable(text)) for text in (s.name, *values, changed)))
            parts += [Text(f"{suite}: {panel.title}", style="bold"), table]
    changes = sum(len(s.changes) for s in found)
    return Group(*parts, Text(f"{counted(changes, 'change point')}", style="dim"))
