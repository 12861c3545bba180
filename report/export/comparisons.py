"""Tables per scenario: uncertainty of the numbers, and comparisons of methods."""

from __future__ import annotations

from typing import Any

from bench.report.export.results import Results
from bench.report.export.table import HIGH, LOW, Table, bounds, plain, table_by_block
from bench.report.statistics.aggregate import aggregates
from bench.report.statistics.generality import spreads
from bench.report.statistics.pairwise import comparisons
from bench.report.statistics.ranks import average_ranks
from bench.report.statistics.summary import Difference, negative_transfer
from bench.report.tables.formats import count, decimals, percent, points, probability
from bench.report.tables.gains import REFERENCES, gain_parts, gains
from bench.report.tables.leaderboard import Block


def errors(results: Results) -> Table:
    """Standard errors by source, and intervals that allow for other domains."""
    columns = {
        **{"method": plain, "images": percent, "runs": percent, "domains": percent},
        **{
            f"accuracy{LOW}": percent,
            f"accuracy{HIGH}": percent,
            f"gain{LOW}": points,
            f"gain{HIGH}": points,
        },
    }
    rows = [
        (
            *(block, row.method, row.images, row.runs, row.domains),
            *(*bounds(row.interval), *bounds(row.gain)),
        )
        for block, cells in results.blocks()
        for row in spreads(cells, results.baseline)
    ]
    return table_by_block(
        "standard-errors", "Standard errors in points, and intervals over domains too", columns, rows
    )


def pairs(results: Results) -> Table:
    """Comparisons of all methods with all others."""
    columns = {
        **{"method": plain, "against": plain, "points": points, f"points{LOW}": points},
        **{f"points{HIGH}": points, "p": probability, "p Holm": probability, "different": plain},
    }
    rows = [
        (
            *(block, row.method, row.other, row.points, *bounds(row.interval)),
            *(row.p, row.adjusted, "yes" if row.different else "no"),
        )
        for block, cells in results.blocks()
        for row in comparisons(cells)
    ]
    return table_by_block("comparisons", "All pairs of methods, difference in points", columns, rows)


def ranks(results: Results) -> Table:
    """Average ranks."""
    rows = [
        (block, method, rank, found.questions)
        for block, cells in results.blocks()
        for found in [average_ranks(cells)]
        for method, rank in found.mean.items()
    ]
    columns = {"method": plain, "rank": decimals, "questions": count}
    return table_by_block("ranks", "Average ranks, 1 is best", columns, rows)


def over_cells(results: Results) -> Table:
    """Mean, median, interquartile mean and worst cell."""
    columns = {
        **{"method": plain, "mean": percent, "median": percent},
        **{"interquartile mean": percent, f"interquartile mean{LOW}": percent},
        **{f"interquartile mean{HIGH}": percent, "worst": percent, "cells": count},
    }
    rows = [
        (
            *(block, row.method),
            *(row.mean, row.median, row.interquartile, *bounds(row.interval), row.worst, row.cells),
        )
        for block, cells in results.blocks()
        for row in aggregates(cells)
    ]
    return table_by_block(
        "aggregates", f"{results.words.Metric} over the shared cells in percent", columns, rows
    )


def gained(results: Results) -> Table:
    """Gains over plain methods."""
    columns: dict[str, Any] = {"method": plain}
    for name in REFERENCES:
        columns |= {f"over {name}": points, f"over {name}{LOW}": points, f"over {name}{HIGH}": points}
        columns[f"cells with {name}"] = count
    rows = [
        (
            *(row.block, row.method),
            *(value for gain in row.over.values() for value in _numbers(gain)),
        )
        for row in gains(results.frame)
    ]
    return table_by_block("gains", "Gains over plain methods in points", columns, rows)


def parted(results: Results) -> Table:
    """Gains parted into those of the idea and of the recipe."""
    columns = {
        **{"method": plain, "control": plain},
        **{"idea": points, f"idea{LOW}": points, f"idea{HIGH}": points, "cells": count},
        **{"recipe": points, f"recipe{LOW}": points, f"recipe{HIGH}": points, "cells of the recipe": count},
    }
    rows = [
        (row.block, row.method, row.control, *_numbers(row.idea), *_numbers(row.recipe))
        for row in gain_parts(results.everything, results.baseline)
    ]
    title = f"Gains in points: of the idea over the control, of the control over {results.baseline}"
    return table_by_block("idea-and-recipe", title, columns, rows)


def _numbers(gain: Difference) -> tuple[float | None, ...]:
    return (gain.points, *bounds(gain.interval), gain.cells)


def negative_transfers(results: Results) -> Table:
    """Negative transfer, by method and pair."""
    found = negative_transfer(results.everything, results.source_alone)
    columns = {
        **{"method": plain, "pair": plain, "against": plain, "points": points, f"points{LOW}": points},
        **{f"points{HIGH}": points, "cells": count, "negative": plain, "clear": plain},
    }
    rows = [
        (
            *(
                Block(row.kind, row.supervision),
                row.method,
                row.pair,
                row.against,
                row.points,
                row.low,
                row.high,
                row.cells,
            ),
            *("yes" if value else "no" for value in (row.negative, row.clear)),
        )
        for row in found.itertuples()
    ]
    return table_by_block("negative-transfer", "What a source is worth in points, by pair", columns, rows)
