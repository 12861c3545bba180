"""Tables across scenarios: one row for a thing of all blocks together."""

from __future__ import annotations

from bench.report.export.results import Results
from bench.report.export.table import Table, plain, table
from bench.report.scores.frame import OBJECTS, STATUSES, accuracy_column
from bench.report.tables import formats, leaderboard
from bench.report.tables.facts import speeds
from bench.report.tables.formats import count, decimals, mebibytes, percent, seconds
from bench.report.tables.validators import rankings


def validators(results: Results) -> Table:
    """Rank correlation of validators with accuracy."""
    columns = {
        **{"validator": plain, "Spearman": decimals, "Kendall": decimals},
        **{"worst run": decimals, "runs": count, "runs without an order": count},
    }
    rows = [
        (row.validator, row.spearman, row.kendall, row.worst, row.cells, row.unordered)
        for row in rankings(results.frame)
        if row.cells
    ]
    title = f"Rank correlation of validators with {results.words.metric}"
    return table("validators", title, columns, rows)


def speed(results: Results) -> Table:
    """Speeds of methods."""
    columns = {
        **{"transfer": plain, "method": plain, "backbone": plain},
        **{"parameters": count, "parameters trained": count, "images per second": count},
        **{"step median": seconds, "step 95th percentile": seconds, "images predicted per second": count},
        **{"memory": mebibytes, "seconds own": seconds, "seconds alone": seconds},
        **{"setting": plain, "accuracy": percent, "cells": count},
    }
    rows = [
        (
            *(row.kind, row.method, row.backbone, row.parameters, row.trained, row.items_per_second),
            *(row.step, row.slow_step, row.predicted),
            *(row.memory, row.own, row.alone, row.setting, row.accuracy, row.cells),
        )
        for row in speeds(results.frame)
    ]
    title = f"Speed, medians over cells; {results.words.metric} in percent is their mean"
    return table("speed", title, columns, rows)


def published(results: Results) -> Table:
    """Published accuracies beside ours."""
    columns = {
        **{"dataset": plain, "pair": plain, "shots": plain, "method": plain},
        **{"published": percent, "deviation": percent, "backbone": plain, "citation": plain},
        **{"protocol": plain, "our method": plain, "our backbone": plain, "last": percent, "oracle": percent},
    }
    rows = [
        (
            *(each.dataset, each.pair, each.shots, each.method, each.accuracy, each.deviation),
            *(each.backbone, each.citation, each.protocol),
            *((ours.method, ours.backbone, ours.last, ours.oracle) if ours else ("", "", None, None)),
        )
        for row in results.published.rows
        for each, ours in [(row.published, row.ours)]
    ]
    title = "Accuracy in percent as published by other protocols, and ours"
    return table("published", title, columns, rows)


def coverage(results: Results) -> Table:
    """Coverage: cells by method and status."""
    columns = {"method": plain, **dict.fromkeys(STATUSES, count)}
    rows = leaderboard.coverage(results.everything).itertuples()
    return table("coverage", "Cells by method and status", columns, rows)


def reasons(results: Results) -> Table:
    """Reasons why cells are not done."""
    columns = {"status": plain, "method": plain, "reason": plain, "cells": count, "key": plain}
    found = leaderboard.reasons(results.everything)[list(columns)].itertuples(index=False)
    return table("reasons", "Why cells are not done", columns, found)


def provenance(results: Results) -> Table:
    """Provenance of the numbers."""
    columns = {"what": plain, "value": plain, "records": count}
    rows = leaderboard.provenance(results.everything).itertuples(index=False)
    return table("provenance", "What made the numbers", columns, rows)


def records(results: Results) -> Table:
    """Records: all that is known as data, the most important of it as text."""
    data = results.everything.drop(columns=list(OBJECTS)).sort_values("key", ignore_index=True)
    shown = {
        **{"key": plain, "method": plain, "pair": plain, "shots": plain, "seed": plain, "status": plain},
        **{accuracy_column(): percent, "headline": plain, "low": percent, "high": percent},
        **{"seconds_own": formats.seconds, "seconds_alone": formats.seconds},
    }
    # Not by block: records that cannot be read are of none.
    return Table("records", "Every record", data, shown)
