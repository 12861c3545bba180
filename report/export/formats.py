"""Formats of a table that spreadsheets, papers and programs read."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from bench.core.text import printable
from bench.report.export.table import Table
from bench.report.render.markdown import escape, pipes

FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""Beginnings of cells that a spreadsheet takes for a formula, https://owasp.org/www-community/attacks/CSV_Injection."""

LATEX = str.maketrans(
    {
        **{special: f"\\{special}" for special in "&%$#_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
        # In the usual font encoding these are other characters outside of mathematics.
        **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
        # Ours, which LaTeX does not know without further packages.
        **{"−": "$-$", "–": "--", "→": r"$\rightarrow$", "×": r"$\times$"},
    }
)
"""Replacements by which LaTeX sets text as it stands."""


def csv(table: Table) -> bytes:
    """Comma-separated UTF-8; text that begins like a formula has an apostrophe before it."""
    safe = table.data.map(harmless).rename(columns=harmless)
    return safe.to_csv(index=False, lineterminator="\n").encode()


def harmless(value: Any) -> Any:
    """Value, or where it is text that a spreadsheet would compute, the text behind an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def parquet(table: Table) -> bytes:
    """Parquet with the types of the columns."""
    buffer = io.BytesIO()
    table.data.to_parquet(buffer, index=False)
    return buffer.getvalue()


def markdown(table: Table) -> bytes:
    """Pipe table per part, under its title in bold."""
    parts = [
        f"**{escape(title)}**\n\n"
        + pipes({name: table.numeric(name) for name in text}, text.itertuples(index=False, name=None))
        for title, text in table.parts()
    ]
    return "\n".join(parts).encode()


def latex(table: Table) -> bytes:
    r"""LaTeX `table` with a booktabs `tabular` per part; needs `\usepackage{booktabs}`."""
    return "\n".join(
        text.map(tex)
        .rename(columns=tex)
        .to_latex(
            index=False,
            escape=False,
            column_format="".join("r" if table.numeric(name) else "l" for name in text),
            caption=tex(title),
            label=f"tab:{table.name}-{number}",
            position="htbp",
        )
        for number, (title, text) in enumerate(table.parts(), 1)
    ).encode()


def tex(text: str) -> str:
    """Text that LaTeX sets as it stands, on one line and without invisible characters."""
    return printable(re.sub(r"[\x00-\x1f\x7f]+", " ", text)).translate(LATEX)


TABLE_FORMATS: dict[str, Callable[[Table], bytes]] = {
    ".csv": csv,
    ".parquet": parquet,
    ".md": markdown,
    ".tex": latex,
}
