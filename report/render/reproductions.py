"""Findings of papers with what was measured and the verdicts: in the terminal, as Markdown and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from bench.core.text import counted, printable
from bench.report.render.markdown import escape, pipes
from bench.report.render.templates import asset, environment
from bench.report.statistics.verdicts import Measured, Verdict, together
from bench.report.tables import formats
from bench.spec.findings import Comparison, Finding, Ranking

COLUMNS = {
    **{"comparison": False, "measured": True, "95 % interval": True},
    **{"expected": False, "verdict": False},
}


@dataclass(frozen=True)
class Reproduction:
    """Finding with what was measured for each comparison and ranking that it asks for."""

    finding: Finding
    measured: Sequence[Measured]

    @property
    def verdict(self) -> Verdict:
        """Verdict on the whole finding."""
        return together([each.verdict for each in self.measured])

    @property
    def over(self) -> str:
        """Pairs and seeds that were measured, in words; empty where nothing was."""
        first = next((each for each in self.measured if each.pairs), None)
        return f"{counted(first.pairs, 'pair')}, {counted(first.seeds, 'seed')}" if first else ""

    @property
    def rows(self) -> Iterator[tuple[str, ...]]:
        """Rows of a table with `COLUMNS`."""
        for asked, found in zip(self.finding.asked, self.measured, strict=True):
            sides = " against ".join(map(formats.percent, found.sides or ()))
            yield (
                asked.about,
                formats.points(found.points) + (f" ({sides})" if sides else ""),
                formats.interval(found.interval, signed=True),
                expected(asked),
                found.verdict + (f": {found.why}" if found.why else ""),
            )


def expected(asked: Comparison | Ranking) -> str:
    """Say what a measurement must show, as in `+2.0 or more`."""
    if asked.expected == "equal":
        return f"within ±{asked.margin:.1f}"
    sign = 1.0 if asked.expected == "higher" else -1.0
    return f"{formats.points(sign * asked.margin)} or {'more' if sign > 0 else 'less'}"


def terminal(found: Sequence[Reproduction]) -> Group:
    """Table for each finding, under its verdict."""
    parts: list[Text | Table] = []
    for each in found:
        title = f"{each.finding.name}: {each.finding.title} – {each.verdict}"
        table = Table(box=box.SIMPLE_HEAD)
        for name, right in COLUMNS.items():
            table.add_column(name, justify="right" if right else "left", overflow="fold")
        for row in each.rows:
            table.add_row(*(Text(printable(text)) for text in row))
        about = f"{each.finding.paper}: {' '.join(each.finding.says.split())}"
        parts += [Text(printable(title), style="bold"), Text(printable(about), style="dim"), table]
    return Group(*parts)


def markdown(found: Sequence[Reproduction], made: str) -> str:
    """Table of verdicts, then a section for each finding; `made` says when and by which command."""
    summary = [
        [each.finding.title, f"{each.finding.paper}", each.verdict, each.over or "–"] for each in found
    ]
    columns = dict.fromkeys(("finding", "paper", "verdict", "over"), False)
    parts = [f"{escape(made)}\n\n{pipes(columns, summary)}"]
    for each in found:
        finding = each.finding
        says = f"[{escape(finding.paper)}]({finding.url}): {escape(finding.says)}"
        suite = f"Suite `{finding.suite}`; `python -m bench reproduce {finding.name}`"
        parts.append(
            f"### {escape(finding.title)}\n\n{says}\n\n{suite}. **{each.verdict}**"
            f"\n\n{pipes(COLUMNS, each.rows)}"
        )
    return "\n".join(parts)


def page(found: Sequence[Reproduction], made: str) -> str:
    """Render one self-contained HTML page; the same findings and measurements give the same text."""
    return (
        environment()
        .get_template("reproductions.html")
        .render(css=asset("page.css"), js=asset("page.js"), found=found, columns=COLUMNS, made=made)
    )
