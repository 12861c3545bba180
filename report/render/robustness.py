"""Robustness of a block's leaderboard: uncertainty, other measures, budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.report.figures import figures
from bench.report.figures.critical_differences import critical_differences
from bench.report.figures.drawing import MethodStyles
from bench.report.statistics.aggregate import aggregates
from bench.report.statistics.equal_budget import equal_budgets
from bench.report.statistics.generality import spreads
from bench.report.statistics.measures import MEASURES, by_class, by_method
from bench.report.statistics.ranks import average_ranks
from bench.report.tables.budgets import budgets
from bench.report.tables.leaderboard import Leaderboard

WORST = 3
"""Classes named per method."""


def robustness(frame: pd.DataFrame, board: Leaderboard, styles: MethodStyles) -> dict[str, Any]:
    """Variables of `uncertainty.html`, `measures.html` and `budgets.html`; empty where there is nothing."""
    rows, order = board.block.of(frame), {row.method: place for place, row in enumerate(board.rows)}
    found = sorted(spreads(rows, board.baseline), key=lambda row: order[row.method])
    ranks = average_ranks(rows) if found else None
    return {
        "spreads": found,
        "domains_known": any(row.domains is not None for row in found),
        "compared": sorted(board.comparisons, key=lambda row: (row.p is None, row.p or 0.0)),
        "ranks": ranks,
        "rank_figure": critical_differences(ranks, board.block) if ranks and not styles.many else None,
        "aggregates": aggregates(rows),
        "profile": None if styles.many else figures.performance_profiles(rows, board.block, styles),
        "budgets": sorted(budgets(rows), key=lambda row: order[row.method]),
        "equal": equal_budgets(rows),
        **_measures(rows, order),
    }


def _measures(rows: pd.DataFrame, order: Mapping[str, int]) -> dict[str, Any]:
    table, classes = by_method(rows), by_class(rows)
    methods = sorted((str(name) for name in table.index), key=lambda name: order[name])
    present = classes[classes["images"] > 0]
    return {
        "measures": [
            {
                "method": method,
                "scores": [(measure, float(table.loc[method, measure.name])) for measure in MEASURES],
                "worst": list(present[method].nsmallest(WORST).items()),
            }
            for method in methods
        ],
        "measures_unknown": bool(table.isna().to_numpy().any()),
        "class_methods": methods,
        "classes": [
            {
                "name": name,
                "images": int(row["images"]),
                "scores": [row[method] for method in methods],
            }
            for name, row in present.iterrows()
        ],
        "absent": [str(name) for name in classes.index[classes["images"] == 0]],
    }
