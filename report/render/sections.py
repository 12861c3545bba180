"""Sections of the page: their groups, when they are empty, and what is derived from a block's cells alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import pandas as pd

from bench.report.figures import figures, pareto
from bench.report.figures.drawing import MethodStyles, Picture
from bench.report.render.robustness import robustness
from bench.report.tables import formats, leaderboard
from bench.report.tables.classes import ByClass, winners_and_losers
from bench.report.tables.leaderboard import Block, Leaderboard
from bench.report.tables.methods.curves import Curves, learning_curves
from bench.report.tables.methods.families import FamilyStanding, MethodNotes, by_family
from bench.report.tables.pairs import Pairs, by_pair
from bench.report.tables.record_links import RecordLinks
from bench.report.tables.scenarios.open_set import OpenRow, open_rows
from bench.report.tables.scenarios.targets import TargetScores, by_target
from bench.report.tables.scenarios.zero_shot import NameRow, name_rows


@dataclass(frozen=True)
class Part:
    """Section of the page; its template is called as its anchor.

    title: with words to be filled in (`scores.words.Words.fill`).
    filled: whether the variables of a page have something for it; why: what an empty one says.
    shown: whether it is unfolded at first.
    """

    anchor: str
    title: str
    filled: Callable[[Mapping[str, Any]], object]
    why: str = ""
    shown: bool = False


def _some(name: str) -> Callable[[Mapping[str, Any]], object]:
    return lambda page: page[name]


def _of_boards(name: str) -> Callable[[Mapping[str, Any]], object]:
    return lambda page: any(getattr(section, name) for section in page["boards"])


def _robust(name: str) -> Callable[[Mapping[str, Any]], object]:
    return lambda page: any(section.robustness[name] for section in page["boards"])


GROUPS: dict[str, tuple[Part, ...]] = {
    "Compare": (
        Part("leaderboard", "Leaderboard", _some("boards"), "no record tells its cell", shown=True),
        Part("families", "Families", _of_boards("families"), "families of these methods are not known here"),
        Part("pairs", "Source and target", _of_boards("matrix"), "no done cell to draw", shown=True),
        Part("tasks", "Tasks one after the other", _some("tasks"), "no tasks were learnt in turn"),
        Part("clients", "Clients side by side", _some("clients"), "no clients were trained together"),
        Part("cost", "{Metric} and cost", _of_boards("costs"), "no done cell to draw"),
        Part(
            "labels",
            "{Metric} and labels",
            _some("shots"),
            "cannot be drawn: no kind of transfer was run at two numbers of labels",
        ),
    ),
    "Trust": (
        Part("uncertainty", "How sure is this", _robust("spreads"), "no cell that methods share"),
        Part(
            "negative-transfer",
            "Negative transfer",
            _some("negative_transfer"),
            "no done cell with a source to judge",
        ),
        Part(
            "gains",
            "Gains over plain methods and controls",
            lambda page: page["gains"] or page["parts"],
            "none of linear-probe and scratch shares a question with another method, and no method has a "
            "control beside it (controls = true in a suite runs them)",
        ),
        Part("rules", "Selection rules", _of_boards("by_rule"), "no done cell to score"),
        Part(
            "validators",
            "How well validators rank checkpoints",
            lambda page: any(row.cells for row in page["rankings"]) or page["distances"],
            "no run has three evaluations that some validator puts in an order",
        ),
        Part("budgets", "Equal budgets", _robust("budgets"), "no done cell"),
    ),
    "Details": (
        Part("measures", "More than accuracy", _robust("measures"), "no done cell to score"),
        Part("classes", "Single classes", _of_boards("classes"), "no done cell to score"),
        Part("learning", "Learning curves", _of_boards("curves"), "no stage has two evaluations"),
        Part(
            "features",
            "Features before and after",
            _some("feature_maps"),
            "No cell kept features: bench run --keep-features keeps them (with --fresh for cells that are "
            "recorded already); cells of episodes have none",
        ),
        Part("architectures", "Architectures found", _some("architectures"), "no method searched"),
        Part("speed", "Settings and speed", _some("speeds"), "no done cell"),
        Part(
            "published",
            "Published accuracies beside ours",
            lambda page: page["published"].rows or page["published"].faults,
            "no card of these datasets has a table for what was run (bench report --published FILE adds one)",
        ),
        Part(
            "samples",
            "Sample {items}",
            _some("samples"),
            "the items are not at hand: this page was built where the dataset is not, or without reading it",
        ),
    ),
    "Reproduce": (
        Part("run", "What was run", _some("facts"), "nothing that can be read yet"),
        Part("provenance", "Run again and cite", lambda page: True, shown=True),
        Part("coverage", "Coverage", lambda page: True),
        Part("glossary", "Glossary", lambda page: True),
        Part(
            "records", "Every record", lambda page: page["record_links"].groups, "the folder holds no records"
        ),
    ),
}
"""Sections in order, in the groups behind the answer."""


@dataclass(frozen=True)
class Section:
    """Contents of the page about one block; rows of methods in the order of the leaderboard."""

    board: Leaderboard
    modality: str
    scale: float
    """Percent at the right end of the leaderboard's bars."""
    families: list[FamilyStanding]
    pairs: Pairs
    targets: list[TargetScores]
    task_maps: list[tuple[str, Picture]]
    open_set: list[OpenRow]
    names: list[NameRow]
    costs: list[Picture]
    stream: Picture | None
    curves: Curves | None
    curves_figure: Picture | None
    classes: list[ByClass]
    by_rule: list[leaderboard.RuleScore]
    rule_cells: dict[str, int]
    robustness: dict[str, Any]

    @property
    def matrix(self) -> bool:
        """True where there is a matrix of methods and pairs."""
        return bool(self.pairs.rows)


class OfMethod(Protocol):
    """Row of a table about a method."""

    @property
    def method(self) -> str:
        """Name of the method."""


class OfBlock(OfMethod, Protocol):
    """Row of a table about a method in a block."""

    @property
    def block(self) -> Block:
        """Block of the method's cells."""


M = TypeVar("M", bound=OfMethod)
B = TypeVar("B", bound=OfBlock)


def ranked(rows: Iterable[M], board: Leaderboard) -> list[M]:
    """Rows in the order of a leaderboard's methods."""
    order = {row.method: place for place, row in enumerate(board.rows)}
    return sorted(rows, key=lambda row: order.get(row.method, len(order)))


def ranked_by_block(rows: Iterable[B], boards: Sequence[Leaderboard]) -> list[B]:
    """Rows of all blocks in the order of their leaderboards."""
    every = list(rows)
    return [row for board in boards for row in ranked((r for r in every if r.block == board.block), board)]


def section(
    frame: pd.DataFrame,
    board: Leaderboard,
    styles: MethodStyles,
    record_links: RecordLinks,
    notes: MethodNotes,
) -> Section:
    """Contents of the page about the block of a leaderboard."""
    block = board.block
    known = [row.accuracy for row in board.rows if row.accuracy is not None]
    highs = [row.interval.high for row in board.rows if row.interval]
    by_rule, rule_cells = leaderboard.by_rule(frame, block)
    costs = [pareto.accuracy_against(board, cost, styles) for cost in (pareto.SECONDS, pareto.MEMORY)]
    curves = learning_curves(frame, block)
    return Section(
        board=board,
        modality=formats.listed(sorted(block.of(frame)["modality"].dropna().unique())),
        scale=max([*known, *highs, 1.0]),
        families=by_family(board, notes),
        pairs=by_pair(frame, board, record_links, [row.method for row in board.rows]),
        targets=by_target(frame, block),
        task_maps=figures.task_maps(frame, block),
        open_set=open_rows(block.of(frame)),
        names=name_rows(block.of(frame)),
        costs=[picture for picture in costs if picture],
        stream=figures.stream_curves(frame, block, styles),
        curves=curves,
        curves_figure=figures.learning_curves(frame, block, styles) if curves and not styles.many else None,
        classes=ranked(winners_and_losers(block.of(frame), board.baseline), board),
        by_rule=ranked(by_rule, board),
        rule_cells=rule_cells,
        robustness=robustness(frame, board, styles),
    )
