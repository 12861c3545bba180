"""Drawing of figures as SVG for inlining: transparent, in the ink of the page around it, deterministic."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

# Okabe & Ito 2008, https://jfly.uni-koeln.de/color/, without yellow, which vanishes on a light page; their
# black is the page's ink. Markers repeat at another period, so that 7 × 8 methods differ in one or the other.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#010203")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
GLYPHS = (
    *("M5 1a4 4 0 1 0 .01 0z", "M1 1h8v8h-8z", "M5 1l4 8h-8z", "M5 0l5 5l-5 5l-5-5z", "M5 9l4-8h-8z"),
    "M4 1h2v3h3v2h-3v3h-2v-3h-3v-2h3z",
    "M2 0l3 3l3-3l2 2l-3 3l3 3l-2 2l-3-3l-3 3l-2-2l3-3l-3-3z",
    "M1 5l8 4v-8z",
)
"""The same as outlines in a box of 10 × 10, for legends outside of figures."""

# Stand-ins that `_inline` replaces by colours of the page's style sheet, so that light and dark both work.
INK, FAINT, PAPER = COLOURS[-1], "#040506", "#070809"
THEME = {INK: "currentColor", FAINT: "var(--rule, #8888)", PAPER: "var(--paper, #fff)"}

RC_PARAMS: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "transfer-bench",
    "text.parse_math": False,
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.titlesize": 11,
    # A tick says what it is, not how far it is from a number in a corner.
    "axes.formatter.useoffset": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Drawing:
    """Figure with its name, the SVG element for a page, and matplotlib's own object for other formats."""

    name: str
    svg: Markup
    figure: Figure = field(compare=False)


@dataclass(frozen=True)
class Picture:
    """Drawing, and what it shows in words for those who do not see it."""

    drawing: Drawing
    alt: str

    @property
    def svg(self) -> Markup:
        """SVG element of the drawing."""
        return self.drawing.svg


MANY = 14
"""Methods up to which each has a colour and a marker of its own on a page; more are told apart by family."""


@dataclass(frozen=True)
class MethodStyles:
    """Colour and marker by method; `families` is empty where these are of the methods, not of families."""

    of: Mapping[str, tuple[str, str]]
    families: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, method: str) -> tuple[str, str]:
        """Colour and marker of a method."""
        return self.of[method]

    def __contains__(self, method: object) -> bool:
        """Return True if the method has a style."""
        return method in self.of

    @property
    def many(self) -> bool:
        """True where there are too many methods for a legend."""
        return len(self.of) > MANY

    @property
    def keys(self) -> list[tuple[str, str, str]]:
        """Family, colour of the page and outline of the marker, by family."""
        found = {family: self.of[method] for method, family in self.families.items()}
        return [
            (family, THEME.get(colour, colour), GLYPHS[MARKERS.index(marker)])
            for family, (colour, marker) in sorted(found.items())
        ]


def method_styles(methods: Iterable[str], family: Callable[[str], str] | None = None) -> MethodStyles:
    """Assign a colour and a marker to each method, for every figure of a page; if many, to each `family`."""
    names = sorted(methods)
    families = {name: family(name) for name in names} if family and len(names) > MANY else {}
    if not any(families.values()):
        return MethodStyles(dict(zip(names, _styles(), strict=False)))
    by_family = dict(zip(sorted({*families.values()}), _styles(), strict=False))
    return MethodStyles({name: by_family[families[name]] for name in names}, families)


def _styles() -> Iterator[tuple[str, str]]:
    for index in count():
        yield COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]


@contextmanager
def canvas(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """Make a figure outside pyplot's global state, in inches."""
    style: Any = {**mpl.rcParamsDefault, **RC_PARAMS}
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        yield figure, axes


def draw(
    axes: Axes, x: Any, y: Any, method: str, style: MethodStyles, tooltip: str = "", named: bool = True
) -> None:
    """Draw a method's points, joined by a line where there are several, in its colour and marker.

    Args:
        tooltip: words to show where the pointer rests; default: the method's name.
        named: whether the legend names the method for these points.
    """
    colour, marker = style[method]
    (line,) = axes.plot(
        x, y, color=colour, marker=marker, markersize=8, linewidth=1.4, label=method if named else None
    )
    line.set(markeredgecolor=PAPER, markeredgewidth=0.7, linestyle="-" if len(x) > 1 else "none")
    tip(line, tooltip or method, method)


TIP, OF = "tip: ", " ¦ "

OF_ALL = "of-all"
"""Id of what is drawn of all methods of a figure together, and class of it on a page."""


def tip(artist: Artist, text: str, method: str = "") -> None:
    """Words that a browser shows where the pointer rests on a part of a figure, and the method it is of."""
    artist.set_gid(f"{TIP}{method}{OF}{text}")


def cost_scale(axes: Axes, values: Sequence[float], name: str) -> None:
    """Scale an x axis of costs with room beside the points: logarithmic, unless they span little."""
    low, high = min(values), max(values)
    if high / low < 4:
        room = 0.1 * (high - low or high)
        axes.set_xlim(low - room, high + room)
        axes.set_xlabel(name)
        return
    axes.set_xscale("log")
    axes.set_xlim(low / 1.5, high * 1.5)
    axes.set_xlabel(f"{name} (log scale)")
    narrow = high / low < 20
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))


def finish(figure: Figure, axes: Axes, columns: int = 2) -> None:
    """Add a faint grid, and the legend below."""
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.set_ymargin(0.15)
    figure.legend(loc="outside lower center", ncols=columns, handletextpad=0.4)


def inline(figure: Figure, name: str) -> Drawing:
    """Draw a figure as an SVG element, its ids made unique by `name`, its ink that of the page."""
    buffer = io.StringIO()
    # `savefig` would lay everything out once more, to find out how large it is.
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # An id that holds a tip becomes a title, which SVG shows on hover; two artists may say the same.
    svg = re.sub(rf'<g id="{TIP}{OF}([^"]*)">', r"<g><title>\1</title>", svg)
    svg = re.sub(rf'<g id="{TIP}([^"]*?){OF}([^"]*)">', r'<g data-method="\1"><title>\2</title>', svg)
    svg = svg.replace(f'<g id="{OF_ALL}">', f'<g class="{OF_ALL}">')
    # More digits than a screen has pixels are half of the text.
    svg = re.sub(r'(?<= )(?:d|x|y|points|transform|width|height)="[^"]*"', _shortened, svg)
    prefix = re.sub(r"[^A-Za-z0-9_-]", "-", name)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = svg.replace("url(#", f"url(#{prefix}-").replace('xlink:href="#', f'xlink:href="#{prefix}-')
    for stand_in, colour in THEME.items():
        svg = svg.replace(stand_in, colour)
    return Drawing(prefix, Markup(svg.strip()), figure)


def _shortened(attribute: re.Match[str]) -> str:
    return re.sub(r"(\.\d\d)\d+", r"\1", attribute[0])


Box = tuple[float, float, float, float]
"""Left, bottom, right, top in typographic points."""

Side = tuple[float, float, str]
"""Place of a label, seen from its point: so many points to the right and up, aligned so."""

BESIDE: tuple[Side, ...] = (
    (0, 9, "left"),
    (0, -16, "left"),
    (-9, -3, "right"),
    (9, -3, "left"),
    (0, 20, "left"),
    (0, -27, "left"),
)
AWAY: tuple[Side, ...] = tuple(
    (across, up, "left" if across > 0 else "right")
    for reach in (26, 44, 62)
    for up in (reach, -reach, reach / 2, -reach / 2)
    for across in (reach, -reach)
)
"""Places so far from the point that a line leads to it."""


def label(
    figure: Figure,
    axes: Axes,
    names: Sequence[tuple[str, tuple[float, float]]],
    points: Sequence[tuple[float, float]],
    size: float = 9,
) -> None:
    """Write names, the important ones first, near their places: no two overlap, and few points are covered.

    A name that fits only away from its place has a line that leads there; one that fits nowhere is left out.
    A name that is a method's goes where the method is left out of a page.
    """
    figure.draw_without_rendering()  # Lays out, so that places on paper are known.
    scale = 72 / figure.dpi
    dots: list[Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in scale * axes.transData.transform(points)]
    left, bottom, right, top = (scale * edge for edge in axes.bbox.extents)
    written: list[Box] = []
    for name, place in names:
        x, y = scale * axes.transData.transform(place)
        width = 0.6 * size * len(name)
        free: list[tuple[float, Side, Box]] = []
        for side in (*BESIDE, *AWAY):
            start, base = x + side[0] - (width if side[2] == "right" else 0), y + side[1]
            box = (start, base - 2, start + width, base + size)
            if any(_overlap(box, other) for other in written):
                continue
            outside = box[0] < left or box[1] < bottom or box[2] > right or box[3] > top
            away = 0.0 if side in BESIDE else 0.5 + math.hypot(*side[:2]) / 1000
            free.append((10 * outside + away + sum(_overlap(box, dot) for dot in dots), side, box))
        if not free:
            continue
        _, (across, up, aligned), box = min(free, key=lambda each: each[0])
        written.append(box)
        leader = {"arrowstyle": "-", "color": INK, "linewidth": 0.6, "alpha": 0.5, "shrinkB": 4.0}
        text = axes.annotate(
            name,
            place,
            (across, up),
            textcoords="offset points",
            fontsize=size,
            ha=aligned,
            arrowprops=leader if (across, up, aligned) in AWAY else None,
        )
        tip(text, name, name)
        if text.arrow_patch:
            tip(text.arrow_patch, name, name)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
