"""Every table of the report, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable

from bench.report.export import blocks, judged, wholes
from bench.report.export.results import Results
from bench.report.export.table import Table

TABLES: tuple[Callable[[Results], Table], ...] = (
    blocks.leaderboard,
    blocks.rules,
    judged.errors,
    judged.pairs,
    judged.ranks,
    judged.over_cells,
    blocks.by_pair,
    blocks.measures,
    blocks.classes,
    blocks.confused,
    judged.gained,
    judged.harm,
    blocks.found_architectures,
    blocks.features,
    wholes.validators,
    blocks.discrepancy,
    blocks.fairness,
    wholes.speed,
    wholes.published,
    wholes.coverage,
    wholes.reasons,
    wholes.provenance,
    wholes.records,
)
