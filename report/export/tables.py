"""Tables of the report, all of them, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable

from bench.report.export import comparisons, cross_scenario, per_scenario
from bench.report.export.results import Results
from bench.report.export.table import Table

TABLES: tuple[Callable[[Results], Table], ...] = (
    per_scenario.leaderboard,
    per_scenario.rules,
    comparisons.errors,
    comparisons.pairs,
    comparisons.ranks,
    comparisons.over_cells,
    per_scenario.by_pair,
    per_scenario.remembered,
    per_scenario.by_client,
    per_scenario.targets,
    per_scenario.open_set,
    per_scenario.names,
    per_scenario.measures,
    per_scenario.classes,
    per_scenario.confused,
    comparisons.gained,
    comparisons.parted,
    comparisons.negative_transfers,
    per_scenario.found_architectures,
    per_scenario.features,
    cross_scenario.validators,
    per_scenario.discrepancy,
    per_scenario.budgets,
    per_scenario.at_equal_budget,
    cross_scenario.speed,
    cross_scenario.published,
    cross_scenario.coverage,
    cross_scenario.reasons,
    cross_scenario.provenance,
    cross_scenario.records,
)
