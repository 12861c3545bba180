"""Templates of pages: markup and what cannot be seen in a text from outside are escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from bench.core.text import counted, printable, visible
from bench.report.statistics.pairwise import Comparison
from bench.report.tables import formats
from bench.report.tables.validators import correlation

TEMPLATES = Path(__file__).parents[1] / "templates"


def unbroken(text: str) -> Markup:
    """Text whose numbers are not torn from their per cent signs at the end of a line."""
    return escape(printable(text)).replace(" %", Markup("&nbsp;%"))


def gap(row: Comparison) -> str:
    """Points of a comparison and the ends of their interval, for the script of a page."""
    return " ".join(f"{value:.7g}" for value in (row.points, *(row.interval or ())))


FILTERS = (
    *(formats.percent, formats.points, formats.interval, formats.seconds, counted),
    *(formats.probability, formats.count, formats.decimals, formats.listed, formats.mebibytes, formats.pace),
    *(correlation, unbroken, gap),
)


def environment() -> Environment:
    """Environment of Jinja for the templates here: escaping, strict, with the filters that write numbers."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in FILTERS:
        environment.filters[function.__name__] = function
    return environment


def _visible(value: Any) -> Any:
    """Make a text printable, but for what the program wrote as markup."""
    return value if isinstance(value, Markup) else visible(value)


def asset(name: str) -> Markup:
    """Style sheet or script of the templates, as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))
