"""Page of a results folder as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from bench.core.files import write_atomically
from bench.core.paths import shown_path
from bench.processes.garbage import paused_gc
from bench.records.selection import RULES
from bench.records.store import Store
from bench.report.figures import figures, pareto
from bench.report.figures.drawing import MethodStyles, Picture, method_styles
from bench.report.figures.feature_maps import feature_maps
from bench.report.figures.published import published_marks
from bench.report.render import cite, conclusions
from bench.report.render.fingerprint import NAME, comment
from bench.report.render.glossary import GLOSSARY
from bench.report.render.samples import Samples, shown, thumbnails
from bench.report.render.sections import GROUPS, ranked, ranked_by_block, section
from bench.report.render.templates import asset, environment
from bench.report.scores.frame import BASELINE, STATUSES, load_frame, methods_only
from bench.report.scores.supervision import USUAL
from bench.report.scores.words import Words, first_upper, metric_name
from bench.report.statistics.measures import BINS, MEASURES
from bench.report.statistics.summary import negative_transfer
from bench.report.tables import formats, leaderboard
from bench.report.tables.completeness import Completeness
from bench.report.tables.facts import Speed, facts, speeds
from bench.report.tables.gains import REFERENCES, architectures, gain_parts, gains
from bench.report.tables.leaderboard import Leaderboard
from bench.report.tables.methods.curves import Curves, shots_curves
from bench.report.tables.methods.decision import CHEAPER
from bench.report.tables.methods.families import MethodNotes, grouped
from bench.report.tables.negative_transfer import by_block
from bench.report.tables.published import published
from bench.report.tables.record_links import record_anchor, record_links
from bench.report.tables.scenarios.parts import clients, tasks
from bench.report.tables.validators import distances, rankings
from bench.spec.cell import Cell
from bench.spec.matrix.suite import Suite
from bench.spec.metrics import METRICS
from bench.spec.scenarios import KINDS


def build(
    store_root: Path | str,
    out: Path | None = None,
    suite: Suite | None = None,
    samples: Samples | None = None,
    *,
    expected: Sequence[Cell] = (),
    notes: MethodNotes | None = None,
    fingerprint: str = "",
) -> Path:
    """Write the page of a results folder and return where: `out`, or `report.html` in the folder.

    Args:
        suite: names the page and the baseline; default: what the records say, and the usual baseline.
        samples: images to show, from the decode cache.
        expected: cells of the suite, of which those without a record are missing; default: it is not known.
            Other records of the folder are shown too.
        notes: what is known of methods beside their records.
        fingerprint: what the file ends with, as a comment, if all records can be read; see
            `bench.report.render.fingerprint`.

    Raises:
        OSError: the page cannot be written. No content of the folder makes it raise.
    """
    with paused_gc():
        frame = load_frame(Store(store_root), expected, others=True)
        html = render(frame, shown_path(Path(store_root)), suite, samples, notes=notes)
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
    notes: MethodNotes | None = None,
) -> str:
    """Render the page of a frame, as HTML. The same frame gives the same text. See `build`."""
    notes = notes or MethodNotes()
    baseline = suite.baseline if suite else BASELINE
    alone = notes.source_alone or baseline
    everything, frame = frame, methods_only(frame)
    boards = leaderboard.leaderboards(frame, baseline)
    styles = method_styles(frame["method"].dropna().unique(), notes.family)
    beside = published(frame, alone)
    links = record_links(everything, folder)
    parts, transfer = gain_parts(everything, baseline), negative_transfer(everything, alone)
    sections = [section(frame, board, styles, links, notes) for board in boards]
    named = [name for part in sections for row in part.classes for name in row.names]
    spreads = {each.board.block: each.robustness["spreads"] for each in sections}
    variables = {
        **_head(frame, suite, boards),
        **_tables(frame, boards, styles),
        **_cells(everything, boards),
        "answers": [conclusions.answer(board, transfer, parts) for board in boards],
        "generality": conclusions.generality(spreads, boards),
        "parts": ranked_by_block(parts, boards),
        "negative_transfer": ranked_by_block(by_block(transfer), boards),
        "published": beside,
        "published_marks": published_marks(beside.rows, styles),
        "panels": pareto.panels(boards, styles),
        "modalities": list(dict.fromkeys(each.modality for each in sections)),
        "cheaper": CHEAPER,
        "alike": formats.ALIKE,
        "baseline": baseline,
        "source_alone": alone,
        "family": notes.family,
        "keys": styles.keys,
        "about": notes.about,
        "grouped": grouped([str(name) for name in frame["method"].dropna().unique()], notes),
        "boards": sections,
        "record_links": links,
        "record_anchor": record_anchor,
        "shots": _shots(frame, styles),
        "samples": shown(samples),
        "pictures": thumbnails(samples, named),
        "commands": cite.commands(frame, folder),
        "citation": cite.citation(frame),
    }
    return environment().get_template("page.html").render(variables | _contents(variables))


def _contents(variables: dict[str, Any]) -> dict[str, Any]:
    """Sections that have something to show, by group, and those that have not."""
    words = variables["words"]
    groups = {
        group: [replace(part, title=words.fill(part.title)) for part in parts]
        for group, parts in GROUPS.items()
    }
    filled = {group: [part for part in parts if part.filled(variables)] for group, parts in groups.items()}
    absent = [part for group, parts in groups.items() for part in parts if part not in filled[group]]
    return {
        "contents": {group: parts for group, parts in filled.items() if parts},
        "anchors": {part.anchor for parts in filled.values() for part in parts},
        "absent": absent,
    }


def _head(frame: pd.DataFrame, suite: Suite | None, boards: Sequence[Leaderboard]) -> dict[str, Any]:
    """Variables of the head of a page."""
    words = Words.of_frame(frame)
    return {
        "css": asset("page.css"),
        "js": Markup("").join(asset(name) for name in ("page.js", "decision.js", "filter.js", "explore.js")),
        "title": _title(frame, suite),
        "question": _question(frame, suite),
        "description": suite.description if suite else "",
        "headline": formats.listed(sorted(frame["headline"].dropna().unique())) or USUAL,
        "judged_by": _judged_by(frame),
        "statuses": STATUSES,
        "words": words,
        "glossary": {name: words.fill(text) for name, text in GLOSSARY.items()},
        "worth": conclusions.worth(frame, boards),
    }


def _judged_by(frame: pd.DataFrame) -> dict[str, str]:
    """What the metrics are, by name, unless all cells are judged by accuracy."""
    found = sorted({*frame["metric"].dropna()})
    return (
        {}
        if found in ([], ["accuracy"])
        else {first_upper(metric_name(name)): METRICS[name] for name in found}
    )


def _question(frame: pd.DataFrame, suite: Suite | None) -> str:
    """Question that the page answers: the suite's own, or what its kinds of transfer ask."""
    if suite and suite.description.rstrip().endswith("?"):
        return suite.description
    datasets = formats.listed(sorted(str(name) for name in frame["dataset"].dropna().unique()), most=3)
    sources = [kind.source for name, kind in KINDS.items() if name in set(frame["kind"].dropna())]
    known = [named.partition(";")[0] for source in sources if (named := source.partition(": ")[2])]
    if not known:
        return f"Which method transfers a pretrained network best{f' to {datasets}' if sources else ''}?"
    return f"Which method transfers best from {known[-1]} of {datasets}?"


def _shots(frame: pd.DataFrame, styles: MethodStyles) -> list[tuple[str, Curves, Picture | None]]:
    """Accuracy by shots of each kind that has several, and their figures where methods are few."""
    pictures = {} if styles.many else dict(figures.shots_curves(frame, styles))
    kinds = sorted(str(kind) for kind in frame["kind"].dropna().unique())
    found = [(kind, shots_curves(frame, kind)) for kind in kinds]
    return [(kind, curves, pictures.get(kind)) for kind, curves in found if curves]


def _tables(frame: pd.DataFrame, boards: Sequence[Leaderboard], styles: MethodStyles) -> dict[str, Any]:
    """Variables of the tables of all blocks together."""
    return {
        "facts": facts(frame),
        "speeds": [row for board in boards for row in ranked(_first(speeds(frame), board), board)],
        "gains": ranked_by_block(gains(frame), boards),
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
        "distances": ranked_by_block(distances(frame), boards),
    }


def _first(rows: Sequence[Speed], board: Leaderboard) -> list[Speed]:
    """Rows of which a board's block is the first."""
    return [row for row in rows if row.blocks[0] == board.block]


def _cells(everything: pd.DataFrame, boards: Sequence[Leaderboard]) -> dict[str, Any]:
    """Variables of what there is of all cells, those of controls among them."""
    coverage, order = leaderboard.coverage(everything), [row.method for board in boards for row in board.rows]
    coverage = coverage.loc[sorted(coverage.index, key=lambda name: [*order, name].index(name))]
    return {
        "completeness": Completeness.of(everything),
        "counts": {status: int((everything["status"] == status).sum()) for status in STATUSES},
        "controls": len(everything) - len(methods_only(everything)),
        "coverage": list(coverage.itertuples()),
        "reasons": list(leaderboard.reasons(everything).itertuples()),
        "provenance": list(leaderboard.provenance(everything).itertuples()),
    }


def _title(frame: pd.DataFrame, suite: Suite | None) -> str:
    names = [suite.name] if suite else sorted(frame["suite"].dropna().unique())
    return formats.listed(names, most=3) or "No results yet"
