"""Page of a results folder as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core.files import write_atomically
from bench.core.paths import shown_path
from bench.processes.garbage import paused_gc
from bench.records.selection import RULES
from bench.records.store import Store
from bench.report.figures import figures, pareto
from bench.report.figures.drawing import MethodStyles, method_styles
from bench.report.figures.feature_maps import feature_maps
from bench.report.figures.published import published_marks
from bench.report.render import cite, conclusions
from bench.report.render.fingerprint import NAME, comment
from bench.report.render.samples import Samples, shown, thumbnails
from bench.report.render.sections import CONTENTS, section
from bench.report.render.templates import asset, environment
from bench.report.scores.frame import BASELINE, STATUSES, load_frame, methods_only
from bench.report.scores.supervision import USUAL
from bench.report.statistics.measures import BINS, MEASURES
from bench.report.statistics.summary import negative_transfer
from bench.report.tables import formats, leaderboard
from bench.report.tables.completeness import Completeness
from bench.report.tables.facts import facts, speeds
from bench.report.tables.gains import REFERENCES, architectures, gain_parts, gains
from bench.report.tables.leaderboard import Leaderboard
from bench.report.tables.negative_transfer import by_block
from bench.report.tables.published import published
from bench.report.tables.record_links import record_anchor, record_links
from bench.report.tables.scenarios.parts import clients, tasks
from bench.report.tables.validators import distances, rankings
from bench.spec.cell import Cell
from bench.spec.matrix.suite import Suite


def build(
    store_root: Path | str,
    out: Path | None = None,
    suite: Suite | None = None,
    samples: Samples | None = None,
    *,
    expected: Sequence[Cell] = (),
    source_alone: str | None = None,
    fingerprint: str = "",
) -> Path:
    """Write the page of a results folder and return where: `out`, or `report.html` in the folder.

    Args:
        suite: names the page and the baseline; default: what the records say, and the usual baseline.
        samples: images to show, from the decode cache.
        expected: cells of the suite, of which those without a record are missing; default: it is not known.
            Other records of the folder are shown too.
        source_alone: the method that stands for the source stage alone at 0 shots; default: the baseline.
        fingerprint: what the file ends with, as a comment, if all records can be read; see
            `bench.report.render.fingerprint`.

    Raises:
        OSError: the page cannot be written. No content of the folder makes it raise.
    """
    with paused_gc():
        frame = load_frame(Store(store_root), expected, others=True)
        html = render(frame, shown_path(Path(store_root)), suite, samples, source_alone=source_alone)
    target = out or Path(store_root) / NAME
    # What cannot be read now may be another time, without a change of any file.
    end = "" if (frame["status"] == "unreadable").any() else comment(fingerprint)
    write_atomically(target, f"{html}{end}".encode())
    return target


def render(
    frame: pd.DataFrame,
    folder: str = "results",
    suite: Suite | None = None,
    samples: Samples | None = None,
    *,
    source_alone: str | None = None,
) -> str:
    """Render the page of a frame, as HTML. The same frame gives the same text. See `build`."""
    baseline = suite.baseline if suite else BASELINE
    alone = source_alone or baseline
    everything, frame = frame, methods_only(frame)
    boards = leaderboard.leaderboards(frame, baseline)
    styles = method_styles(frame["method"].dropna().unique())
    beside = published(frame, alone)
    links = record_links(everything, folder)
    parts, transfer = gain_parts(everything, baseline), negative_transfer(everything, alone)
    sections = [section(frame, board, styles, links) for board in boards]
    named = [name for part in sections for row in part.classes for name in row.names]
    variables = {
        **_head(frame, suite, boards),
        **_tables(frame, styles),
        **_cells(everything),
        "answers": [conclusions.answer(board, transfer, parts) for board in boards],
        "parts": parts,
        "negative_transfer": by_block(transfer),
        "published": beside,
        "published_marks": published_marks(beside.rows, styles),
        "overview": pareto.overview(boards, styles),
        "baseline": baseline,
        "source_alone": alone,
        "boards": sections,
        "record_links": links,
        "record_anchor": record_anchor,
        "shots_curves": figures.shots_curves(frame, styles),
        "samples": shown(samples),
        "pictures": thumbnails(samples, named),
        "commands": cite.commands(frame, folder),
        "citation": cite.citation(frame),
    }
    return environment().get_template("page.html").render(variables)


def _head(frame: pd.DataFrame, suite: Suite | None, boards: Sequence[Leaderboard]) -> dict[str, Any]:
    """Variables of the head of a page."""
    return {
        "css": asset("page.css"),
        "js": asset("page.js") + asset("explore.js"),
        "contents": [entry for entry in CONTENTS if entry[0] not in _absent(frame)],
        "title": _title(frame, suite),
        "description": suite.description if suite else "",
        "methods": sorted(str(name) for name in frame["method"].dropna().unique()),
        "headline": formats.listed(sorted(frame["headline"].dropna().unique())) or USUAL,
        "statuses": STATUSES,
        "worth": conclusions.worth(frame, boards),
    }


def _absent(frame: pd.DataFrame) -> set[str]:
    """Anchors of sections that say nothing of these records."""
    found = {"architectures": architectures(frame), "tasks": tasks(frame), "clients": clients(frame)}
    return {anchor for anchor, rows in found.items() if not rows}


def _tables(frame: pd.DataFrame, styles: MethodStyles) -> dict[str, Any]:
    """Variables of the tables of all blocks together."""
    return {
        "facts": facts(frame),
        "speeds": speeds(frame),
        "gains": gains(frame),
        "references": REFERENCES,
        "architectures": architectures(frame),
        "tasks": [(block, [*rows]) for block, rows in groupby(tasks(frame), attrgetter("block"))],
        "clients": [(block, [*rows]) for block, rows in groupby(clients(frame), attrgetter("block"))],
        "bytes_figures": [
            picture
            for block in leaderboard.blocks(frame)
            if (picture := figures.accuracy_by_bytes(clients(frame), block, styles))
        ],
        "rules": RULES,
        "measures": MEASURES,
        "bins": BINS,
        "feature_maps": feature_maps(frame),
        "rankings": rankings(frame),
        "distances": distances(frame),
    }


def _cells(everything: pd.DataFrame) -> dict[str, Any]:
    """Variables of what there is of all cells, those of controls among them."""
    return {
        "completeness": Completeness.of(everything),
        "counts": {status: int((everything["status"] == status).sum()) for status in STATUSES},
        "controls": len(everything) - len(methods_only(everything)),
        "coverage": list(leaderboard.coverage(everything).itertuples()),
        "reasons": list(leaderboard.reasons(everything).itertuples()),
        "provenance": list(leaderboard.provenance(everything).itertuples()),
    }


def _title(frame: pd.DataFrame, suite: Suite | None) -> str:
    names = [suite.name] if suite else sorted(frame["suite"].dropna().unique())
    return formats.listed(names, most=3) or "No results yet"
