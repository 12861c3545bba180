"""What the page shows of a block beside its leaderboard: how sure it is, other measures, budgets."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.report.figures import figures
from bench.report.figures.drawing import Style
from bench.report.statistics.aggregate import aggregates
from bench.report.statistics.generality import spreads
from bench.report.statistics.measures import MEASURES, by_class, by_method
from bench.report.statistics.ranks import average_ranks
from bench.report.tables.budgets import budgets
from bench.report.tables.leaderboard import Leaderboard

WORST = 3
"""Classes named per method."""


def trust(frame: pd.DataFrame, board: Leaderboard, appearance: Style) -> dict[str, Any]:
    """Values for `sure.html`, `measures.html` and `fairness.html`; empty ones where nothing can be said."""
    rows = board.block.of(frame)
    found = spreads(rows, board.baseline)
    ranks = average_ranks(rows) if found else None
    return {
        "spreads": found,
        "domains_known": any(row.domains is not None for row in found),
        "compared": sorted(board.comparisons, key=lambda row: (row.p is None, row.p or 0.0)),
        "ranks": ranks,
        "rank_figure": figures.critical_differences(ranks, board.block) if ranks else None,
        "aggregates": aggregates(rows),
        "profile": figures.performance_profiles(rows, board.block, appearance),
        "budgets": budgets(rows),
        **_measures(rows),
    }


def _measures(rows: pd.DataFrame) -> dict[str, Any]:
    table, classes = by_method(rows), by_class(rows)
    methods = [str(name) for name in table.index]
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
