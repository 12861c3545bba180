"""Maps of kept features before and after training, and numbers of the same features.

Drawn of one question a block, for every method that kept its features there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench.report.figures import embeddings
from bench.report.figures.drawing import COLOURS, Picture, canvas, inline
from bench.report.scores.features import DOMAINS, TIMES, ImageFeatures, StoredFeatures
from bench.report.scores.words import Words
from bench.report.tables.leaderboard import Block, blocks
from bench.report.tables.record_links import record_anchor

NAMED = 6
"""Classes with a colour of their own: no more can be told apart by everybody."""
OTHERS = "#8c8c8c"
MARKERS = {"source": "o", "target": "^"}


Both = tuple[float | None, float | None]


@dataclass(frozen=True)
class Map:
    """Maps of one cell: its pictures, and its numbers before and after; None: it cannot be said."""

    method: str
    pair: str
    anchor: str
    images: int
    purity: Both
    distance: Both
    pictures: tuple[tuple[str, Picture], ...]
    why: str = ""


@dataclass(frozen=True)
class Maps:
    """Cells of one block that are drawn, and how many more have features."""

    block: Block
    cells: tuple[Map, ...]
    more: int


def feature_maps(frame: pd.DataFrame) -> list[Maps]:
    """Maps of a page: of each block the question that most methods kept features of, its lowest seed."""
    kept = frame[frame["features"].notna()]
    flat = _Flat()
    found = []
    for block in blocks(kept):
        rows = block.of(kept)
        questions = rows.groupby(["pair", "question", "seed"])["method"].nunique()
        _, question, seed = questions[questions == questions.max()].index[0]
        chosen = rows[(rows["question"] == question) & (rows["seed"] == seed)].sort_values("method")
        cells = tuple(_map(row, flat) for row in chosen.to_dict("records"))
        found.append(Maps(block, cells, len(rows) - len(chosen)))
    return found


class _Flat:
    """Coordinates by content: many methods begin with the same features, and some end with them."""

    def __init__(self) -> None:
        self.ways = embeddings.projections()
        self._known: dict[tuple[str, bytes], np.ndarray] = {}

    def of(self, way: str, features: np.ndarray) -> np.ndarray:
        key = way, features.tobytes()
        if key not in self._known:
            self._known[key] = self.ways[way](features)
        return self._known[key]


def _map(row: Mapping[str, object], flat: _Flat) -> Map:
    kept, method, pair = row["features"], str(row["method"]), str(row["pair"])
    assert isinstance(kept, StoredFeatures)
    words = _words(row)
    anchor, nothing = record_anchor(str(row["key"])), (None, None)
    try:
        images = kept.load()
    except (OSError, ValueError) as error:
        why = str(error).replace(f"{kept.store.root}/", "")
        return Map(method, pair, anchor, 0, nothing, nothing, (), why)
    if len(images.classes) <= embeddings.NEIGHBOURS:
        return Map(method, pair, anchor, len(images.classes), nothing, nothing, (), f"too few {words.items}")
    before, after = (images.features[time] for time in TIMES)
    labels, is_source, groups = images.classes, images.is_source, images.groups
    purity = embeddings.purity(before, labels, groups), embeddings.purity(after, labels, groups)
    apart = embeddings.a_distance(before, is_source, groups), embeddings.a_distance(after, is_source, groups)
    pictures = tuple((way, _picture(way, row, images, flat)) for way in flat.ways)
    return Map(method, pair, anchor, len(images.classes), purity, apart, pictures)


def _words(row: Mapping[str, object]) -> Words:
    return Words.of([str(row["modality"])], [str(row["metric"])])


def _picture(way: str, row: Mapping[str, object], images: ImageFeatures, flat: _Flat) -> Picture:
    """Before and after (columns), by domain and by class (rows)."""
    names, counts = np.unique(images.classes, return_counts=True)
    named = [str(name) for name in names[np.argsort(-counts, kind="stable")][:NAMED]]
    by_class = dict(zip(named, COLOURS, strict=False))
    domain_colours = dict(zip(DOMAINS, COLOURS, strict=False))
    domains = np.where(images.is_source, *DOMAINS)
    colours = {
        "by domain": np.array([domain_colours[domain] for domain in domains]),
        "by class": np.array([by_class.get(name, OTHERS) for name in images.classes]),
    }
    if not images.is_source.any():
        del colours["by domain"]
    with canvas(5.0, 2.2 * len(colours) + 0.3 + 0.2 * ((len(named) + 4) // 2)) as (figure, axes):
        # Points are pixels in the drawing: as shapes, a page of maps would be megabytes.
        figure.set_dpi(160)
        axes.remove()
        panels = figure.subplots(len(colours), 2, squeeze=False)
        for line, (title, colour) in zip(panels, colours.items(), strict=True):
            for panel, time in zip(line, TIMES, strict=True):
                _points(panel, flat.of(way, images.features[time]), colour, domains)
                panel.set_title(f"{time}, {title}", fontsize=10)
        key = [(domain, domain_colours[domain], MARKERS[domain]) for domain in DOMAINS if domain in domains]
        if "by domain" not in colours:
            key = []
        key += [(name, by_class[name], "s") for name in named]
        key += [("other classes", OTHERS, "s")] if len(names) > len(named) else []
        handles = [
            Line2D([], [], color=colour, marker=marker, linestyle="none", label=label)
            for label, colour, marker in key
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, handletextpad=0.4, fontsize=9)
        svg = inline(figure, f"features-{way}-{row['key']}")
    of = f"{len(images.classes)} test {_words(row).items}"
    text = f"{row['method']}, {row['pair']}: {way} of the features of {of}"
    return Picture(svg, f"{text} before and after training, {' and '.join(colours)}.")


def _points(panel: Axes, places: np.ndarray, colours: np.ndarray, domains: np.ndarray) -> None:
    panel.patch.set_visible(False)
    # The named ones last, so that none lies hidden under others.
    for other in (True, False):
        for domain, marker in MARKERS.items():
            mine = (domains == domain) & ((colours == OTHERS) == other)
            x, y = places[mine].T
            panel.scatter(
                x, y, s=11, c=colours[mine], marker=marker, linewidths=0, alpha=0.85, rasterized=True
            )
    panel.set(xticks=[], yticks=[])
