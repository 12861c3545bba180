"""Section of a page for each block: everything that is derived from its cells alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.figures import figures, pareto
from bench.report.figures.drawing import MethodStyles, Picture
from bench.report.render.robustness import robustness
from bench.report.tables import leaderboard
from bench.report.tables.classes import ByClass, winners_and_losers
from bench.report.tables.leaderboard import Leaderboard
from bench.report.tables.pairs import Pairs, by_pair
from bench.report.tables.record_links import RecordLinks
from bench.report.tables.scenarios.open_set import OpenScores, open_scores
from bench.report.tables.scenarios.targets import TargetScores, by_target

CONTENTS = (
    ("leaderboard", "Leaderboard"),
    ("cost", "Cost"),
    ("labels", "Labels"),
    ("pairs", "Pairs"),
    ("tasks", "Tasks"),
    ("clients", "Clients"),
    ("negative-transfer", "Harm"),
    ("gains", "Gains"),
    ("uncertainty", "How sure"),
    ("measures", "Measures"),
    ("classes", "Classes"),
    ("learning", "Learning"),
    ("features", "Features"),
    ("rules", "Selection"),
    ("validators", "Validators"),
    ("architectures", "Searches"),
    ("budgets", "Budgets"),
    ("speed", "Speed"),
    ("published", "Published"),
    ("run", "Set-up"),
    ("coverage", "Coverage"),
    ("provenance", "Reproduce"),
    ("records", "Records"),
)
"""Sections of the page in order: anchor and short name. The template of each is called as its anchor."""


@dataclass(frozen=True)
class Section:
    """Contents of the page about one block."""

    board: Leaderboard
    scale: float
    """Percent at the right end of the leaderboard's bars."""
    maps: list[tuple[str, Picture]]
    task_maps: list[tuple[str, Picture]]
    pairs: Pairs
    targets: list[TargetScores]
    open_set: list[OpenScores]
    costs: list[Picture]
    curves: Picture | None
    stream: Picture | None
    classes: list[ByClass]
    by_rule: list[leaderboard.RuleScore]
    rule_cells: dict[str, int]
    robustness: dict[str, Any]


def section(
    frame: pd.DataFrame, board: Leaderboard, styles: MethodStyles, record_links: RecordLinks
) -> Section:
    """Contents of the page about the block of a leaderboard."""
    block = board.block
    known = [row.accuracy for row in board.rows if row.accuracy is not None]
    highs = [row.interval.high for row in board.rows if row.interval]
    # The pretrained row is part of the maps of every kind at the same shots; do not draw it twice.
    drawn_elsewhere = block.kind == "pretrained" and any(
        other.shots == block.shots for other in leaderboard.blocks(frame) if other != block
    )
    by_rule, rule_cells = leaderboard.by_rule(frame, block)
    costs = [pareto.accuracy_against(board, cost, styles) for cost in (pareto.SECONDS, pareto.MEMORY)]
    return Section(
        board=board,
        scale=max([*known, *highs, 1.0]),
        maps=[] if drawn_elsewhere else figures.heat_maps(frame, block),
        task_maps=figures.task_maps(frame, block),
        pairs=by_pair(frame, block, record_links),
        targets=by_target(frame, block),
        open_set=open_scores(block.of(frame)),
        costs=[picture for picture in costs if picture],
        curves=figures.learning_curves(frame, block, styles),
        stream=figures.stream_curves(frame, block, styles),
        classes=winners_and_losers(block.of(frame), board.baseline),
        by_rule=by_rule,
        rule_cells=rule_cells,
        robustness=robustness(frame, board, styles),
    )
