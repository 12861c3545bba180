"""Figures of the report as files: black on white, instead of in the colours of a page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex, to_rgba_array
from matplotlib.figure import Figure

from bench.report.export.results import Results
from bench.report.figures import drawing, figures, pareto
from bench.report.figures.critical_differences import critical_differences
from bench.report.figures.drawing import Picture
from bench.report.figures.published import published_marks
from bench.report.statistics.ranks import average_ranks
from bench.report.tables.scenarios.parts import clients

PRINT = {drawing.INK: "#000000", drawing.FAINT: "#b0b0b0", drawing.PAPER: "#ffffff"}
COLOURED = ("color", "edgecolor", "facecolor", "markeredgecolor", "markerfacecolor")
"""Properties of matplotlib's artists that may hold a stand-in for a colour of the page."""

PRINT_PARAMS: Any = {**mpl.rcParamsDefault, **drawing.RC_PARAMS, "pdf.fonttype": 42, "savefig.dpi": 200}
"""Fonts are embedded as TrueType, which journals ask for."""

FIGURE_FORMATS: dict[str, tuple[type, dict[str, None]]] = {
    ".svg": (FigureCanvasSVG, {"Date": None}),
    ".pdf": (FigureCanvasPdf, {"CreationDate": None}),
    ".png": (FigureCanvasAgg, {"Software": None}),
}
"""Canvas by suffix, and what is left out of the metadata so that the same records make the same file."""


def drawings(results: Results) -> Iterator[tuple[str, Figure]]:
    """Figures with names that a file can have."""
    frame = results.frame
    style = drawing.method_styles(frame["method"].dropna().unique())
    named: list[tuple[str, Picture | None]] = [
        ("", picture) for _, picture in pareto.panels(results.boards, style)
    ]
    named += figures.shots_curves(frame, style)
    named += [("", picture) for _, picture in published_marks(results.published.rows, style)]
    for board in results.boards:
        rows = board.block.of(frame)
        named += figures.heat_maps(frame, board.block)
        named += figures.task_maps(frame, board.block)
        named.append(("", figures.accuracy_by_bytes(clients(frame), board.block, style)))
        named += [
            ("", pareto.accuracy_against(board, pareto.SECONDS, style)),
            ("", pareto.accuracy_against(board, pareto.MEMORY, style)),
            ("", figures.learning_curves(frame, board.block, style)),
            ("", figures.stream_curves(frame, board.block, style)),
            ("", figures.performance_profiles(rows, board.block, style)),
            ("", critical_differences(average_ranks(rows), board.block)),
        ]
    for maps in results.maps:
        named += [
            (f"{cell.method}-{cell.pair}", figure) for cell in maps.cells for _, figure in cell.pictures
        ]
    for name, picture in named:
        if picture:
            # The drawing's own name is the only one of its kind; the method's is there to be read.
            known = "" if name in picture.drawing.name else name
            suffix = re.sub(r"[^A-Za-z0-9_-]+", "-", known).strip("-")[:60]
            yield "-".join([picture.drawing.name, *([suffix] if suffix else [])]), picture.drawing.figure


def printed(figure: Figure) -> dict[str, bytes]:
    """Bytes of a figure by suffix. The figure is left in the colours of print."""
    with mpl.rc_context(PRINT_PARAMS):
        figure.draw_without_rendering()  # ticks and their labels are made when they are first drawn
        for artist in figure.findobj():
            artist.set_gid(None)  # what a page shows where the pointer rests
            for name in COLOURED:
                _replace(artist, name)
        found = {}
        for suffix, (canvas, metadata) in FIGURE_FORMATS.items():
            buffer = io.BytesIO()
            canvas(figure).print_figure(buffer, format=suffix[1:], metadata=metadata)
            found[suffix] = buffer.getvalue()
    return found


def _replace(artist: Any, name: str) -> None:
    get, put = (getattr(artist, f"{verb}_{name}", None) for verb in ("get", "set"))
    if get is None or put is None:
        return
    colours = to_rgba_array(get())
    named = [to_hex(colour) for colour in colours]
    if PRINT.keys() & set(named):
        new = [(PRINT.get(was, was), colour[3]) for was, colour in zip(named, colours, strict=True)]
        put(new if len(new) > 1 else new[0])
