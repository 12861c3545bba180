"""Every table of the report. A function each; `TABLES` is all of them, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.selection import RULES
from report import formats, tables
from report.aggregate import aggregates
from report.classes import confusions
from report.export.table import HIGH, LOW, Table, bounds, plain, table
from report.fairness import EXTRA, budgets
from report.formats import count, decimals, mebibytes, percent, points, probability, seconds
from report.frame import OBJECTS, STATUSES, accuracy_column
from report.gains import REFERENCES, architectures, gains
from report.generality import spreads
from report.measures import MEASURES, by_class, by_method
from report.pairwise import comparisons
from report.ranks import average_ranks
from report.statistics import negative_transfer, scored, shared
from report.tables import Block, Leaderboard
from report.validators import distances, rankings


@dataclass(frozen=True)
class Results:
    """What the tables are made of: records, the baseline, and the method that is the source stage alone."""

    frame: pd.DataFrame
    baseline: str
    source_alone: str
    boards: tuple[Leaderboard, ...]

    @classmethod
    def of(cls, frame: pd.DataFrame, baseline: str, source_alone: str) -> Results:
        """From a frame of `report.frame.load_frame`."""
        return cls(frame, baseline, source_alone, tuple(tables.leaderboards(frame, baseline)))

    def blocks(self) -> Iterator[tuple[Block, pd.DataFrame]]:
        """Each block and its rows."""
        for board in self.boards:
            yield board.block, board.block.of(self.frame)


def leaderboard(results: Results) -> Table:
    """Methods by accuracy, a table per transfer kind and shots."""
    columns = {
        **{"method": plain, "place": plain, "group": plain},
        **{"accuracy": percent, f"accuracy{LOW}": percent, f"accuracy{HIGH}": percent},
        **{"gain": points, f"gain{LOW}": points, f"gain{HIGH}": points},
        **{"seed deviation": percent, "seconds": seconds, "memory": mebibytes},
        **{"done": count, "asked": count},
    }
    rows = [
        (
            *(board.block.kind, board.block.shots, row.method),
            None if row.place is None else "–".join(str(place) for place in dict.fromkeys(row.place)),
            *(row.letters or None, row.accuracy, *bounds(row.interval)),
            *(row.gain.points, *bounds(row.gain.interval)),
            *(row.deviation, row.seconds, row.memory, row.done, row.asked),
        )
        for board in results.boards
        for row in board.rows
    ]
    return table("leaderboard", f"Accuracy in percent, gain over {results.baseline} in points", columns, rows)


def rules(results: Results) -> Table:
    """Accuracy under every selection rule."""
    rows = [
        (block.kind, block.shots, row.method, *(row.accuracy[rule.name] for rule in RULES))
        for block, _ in results.blocks()
        for row in tables.by_rule(results.frame, block)[0]
    ]
    names = {rule.name: percent for rule in RULES}
    return table("selection-rules", "Accuracy in percent by selection rule", {"method": plain, **names}, rows)


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
            *(block.kind, block.shots, row.method, row.images, row.runs, row.domains),
            *(*bounds(row.interval), *bounds(row.gain)),
        )
        for block, cells in results.blocks()
        for row in spreads(cells, results.baseline)
    ]
    return table(
        "standard-errors", "Standard errors in points, and intervals over domains too", columns, rows
    )


def pairs(results: Results) -> Table:
    """All methods against all others."""
    columns = {
        **{"method": plain, "against": plain, "points": points, f"points{LOW}": points},
        **{f"points{HIGH}": points, "p": probability, "p Holm": probability, "different": plain},
    }
    rows = [
        (
            *(block.kind, block.shots, row.method, row.other, row.points, *bounds(row.interval)),
            *(row.p, row.adjusted, "yes" if row.different else "no"),
        )
        for block, cells in results.blocks()
        for row in comparisons(cells)
    ]
    return table("comparisons", "All pairs of methods, difference in points", columns, rows)


def ranks(results: Results) -> Table:
    """Average ranks."""
    rows = [
        (block.kind, block.shots, method, rank, found.questions)
        for block, cells in results.blocks()
        for found in [average_ranks(cells)]
        for method, rank in found.mean.items()
    ]
    columns = {"method": plain, "rank": decimals, "questions": count}
    return table("ranks", "Average ranks, 1 is best", columns, rows)


def over_cells(results: Results) -> Table:
    """Mean, median, interquartile mean and worst cell."""
    columns = {
        **{"method": plain, "mean": percent, "median": percent},
        **{"interquartile mean": percent, "worst": percent, "cells": count},
    }
    rows = [
        (
            *(block.kind, block.shots, row.method),
            *(row.mean, row.median, row.interquartile, row.worst, row.cells),
        )
        for block, cells in results.blocks()
        for row in aggregates(cells)
    ]
    return table("aggregates", "Accuracy over the shared cells in percent", columns, rows)


def measures(results: Results) -> Table:
    """More than accuracy."""
    columns = {
        f"{measure.name}, {measure.unit}": decimals if measure.unit == "nats" else percent
        for measure in MEASURES
    }
    rows = [
        (block.kind, block.shots, *row)
        for block, cells in results.blocks()
        for row in by_method(cells).itertuples()
    ]
    return table("measures", "More than accuracy", {"method": plain, **columns}, rows)


def classes(results: Results) -> Table:
    """Accuracy of every class, a column per method."""
    methods = sorted(results.frame["method"].dropna().unique())
    # Not the bare name: a method may be called `images`.
    columns = {"class": plain, "images": count, **{f"accuracy of {name}": percent for name in methods}}
    rows = [
        (block.kind, block.shots, name, row["images"], *(row.get(method) for method in methods))
        for block, cells in results.blocks()
        for name, row in by_class(cells).iterrows()
    ]
    return table("classes", "Accuracy in percent by class", columns, rows)


def by_pair(results: Results) -> Table:
    """Accuracy on every pair of domains."""
    rows = [
        (block.kind, block.shots, pair, method, float(mine.mean()), len(mine))
        for block, cells in results.blocks()
        for (pair, method), mine in scored(cells).groupby(["pair", "method"])[accuracy_column()]
    ]
    columns = {"pair": plain, "method": plain, "accuracy": percent, "cells": count}
    return table("pairs", "Accuracy in percent by pair of domains", columns, rows)


def confused(results: Results) -> Table:
    """What methods take for what."""
    columns = {"method": plain, "class": plain, "taken for": plain, "images": count, "share": percent}
    rows = [
        (block.kind, block.shots, method, row.true, row.named, row.images, row.share)
        for block, cells in results.blocks()
        for method, mine in shared(cells).groupby("method")
        for row in confusions(mine)
    ]
    return table("confusions", "The most frequent confusions, share of a class's images", columns, rows)


def gained(results: Results) -> Table:
    """Gains over plain methods."""
    columns: dict[str, Any] = {"method": plain}
    for name in REFERENCES:
        columns |= {f"over {name}": points, f"over {name}{LOW}": points, f"over {name}{HIGH}": points}
        columns[f"cells with {name}"] = count
    rows = [
        (
            *(row.block.kind, row.block.shots, row.method),
            *(v for g in row.over.values() for v in (g.points, *bounds(g.interval), g.cells)),
        )
        for row in gains(results.frame)
    ]
    return table("gains", "Gains over plain methods in points", columns, rows)


def harm(results: Results) -> Table:
    """Negative transfer, by method and pair."""
    found = negative_transfer(results.frame, results.source_alone)
    columns = {
        **{"method": plain, "pair": plain, "points": points, f"points{LOW}": points},
        **{f"points{HIGH}": points, "cells": count, "negative": plain, "clear": plain},
    }
    rows = [
        (
            *(row.kind, row.shots, row.method, row.pair, row.points, row.low, row.high, row.cells),
            *("yes" if said else "no" for said in (row.negative, row.clear)),
        )
        for row in found.itertuples()
    ]
    return table("negative-transfer", "What a source is worth in points, by pair", columns, rows)


def found_architectures(results: Results) -> Table:
    """What searches found."""
    columns = {"method": plain, "architecture": plain, "cells": count, "accuracy": percent}
    rows = [
        (row.block.kind, row.block.shots, row.method, row.parts, row.cells, row.accuracy)
        for row in architectures(results.frame)
    ]
    return table("architectures", "Architectures found", columns, rows)


def validators(results: Results) -> Table:
    """How well validators rank checkpoints."""
    columns = {
        **{"validator": plain, "Spearman": decimals, "Kendall": decimals},
        **{"worst run": decimals, "runs": count, "runs without an order": count},
    }
    rows = [
        (row.validator, row.spearman, row.kendall, row.worst, row.cells, row.unsaid)
        for row in rankings(results.frame)
        if row.cells
    ]
    title = "Rank correlation of validators with accuracy"
    return table("validators", title, columns, rows, by_block=False)


def discrepancy(results: Results) -> Table:
    """Distances of domains before and after."""
    found = distances(results.frame)
    names = sorted({name for row in found for name in row.before})
    columns = {f"{name} {when}": decimals for name in names for when in ("before", "after")}
    rows = [
        (
            *(row.kind, row.shots, row.method),
            *(side.get(name) for name in names for side in (row.before, row.after)),
            row.cells,
        )
        for row in found
    ]
    title = "Domain discrepancy before training and at the last look"
    return table("discrepancy", title, {"method": plain, **columns, "cells": count}, rows)


def fairness(results: Results) -> Table:
    """What every method was given."""
    columns = {
        **{"method": plain, "steps": plain, "batch": plain, "looks": plain, "hyperparameters": plain},
        **{"declared": count, "labelled": count, "deviation": decimals},
        **dict.fromkeys(EXTRA, count),
        "seconds": seconds,
    }
    rows = [
        (
            *(block.kind, block.shots, row.method, row.stages, row.batch, row.looks, row.settings),
            *(row.declared, row.labelled, row.deviation),
            *(row.extra.get(name) for name in EXTRA),
            row.seconds,
        )
        for block, cells in results.blocks()
        for row in budgets(cells)
    ]
    return table("budgets", "Labelled images declared and seen", columns, rows)


def coverage(results: Results) -> Table:
    """What became of the cells."""
    columns = {"method": plain, **dict.fromkeys(STATUSES, count)}
    rows = tables.coverage(results.frame).itertuples()
    return table("coverage", "Cells by method and status", columns, rows, by_block=False)


def reasons(results: Results) -> Table:
    """Why cells are not done."""
    columns = {"status": plain, "method": plain, "reason": plain, "cells": count, "key": plain}
    found = tables.reasons(results.frame)[list(columns)].itertuples(index=False)
    return table("reasons", "Why cells are not done", columns, found, by_block=False)


def provenance(results: Results) -> Table:
    """What made the numbers."""
    columns = {"what": plain, "value": plain, "records": count}
    rows = tables.provenance(results.frame).itertuples(index=False)
    return table("provenance", "What made the numbers", columns, rows, by_block=False)


def records(results: Results) -> Table:
    """Every record: all that is known as data, the most important of it as text."""
    data = results.frame.drop(columns=list(OBJECTS)).sort_values("key", ignore_index=True)
    shown = {
        **{"key": plain, "method": plain, "pair": plain, "shots": plain, "seed": plain, "status": plain},
        **{"accuracy last": percent, "low": percent, "high": percent},
        **{"seconds_own": formats.seconds, "seconds_alone": formats.seconds},
    }
    # Not by block: records that cannot be read are of none.
    return Table("records", "Every record", data, shown, by_block=False)


TABLES: tuple[Callable[[Results], Table], ...] = (
    *(leaderboard, rules, errors, pairs, ranks, over_cells, by_pair, measures, classes, confused),
    *(gained, harm, found_architectures, validators, discrepancy, fairness),
    *(coverage, reasons, provenance, records),
)
