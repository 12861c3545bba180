"""Tables per scenario: what methods reached, and their budgets."""

from __future__ import annotations

from bench.records.selection import RULES
from bench.report.export.results import Results
from bench.report.export.table import HIGH, LOW, Table, bounds, plain, table_by_block
from bench.report.scores.frame import accuracy_column
from bench.report.statistics.equal_budget import equal_budgets
from bench.report.statistics.measures import MEASURES, by_class, by_method
from bench.report.statistics.summary import scored, shared
from bench.report.tables import leaderboard as boards
from bench.report.tables.budgets import EXTRA
from bench.report.tables.budgets import budgets as budgets_of
from bench.report.tables.classes import confusions
from bench.report.tables.formats import count, decimals, mebibytes, percent, points, seconds
from bench.report.tables.gains import architectures
from bench.report.tables.scenarios.open_set import open_rows
from bench.report.tables.scenarios.parts import clients, tasks
from bench.report.tables.scenarios.targets import by_target
from bench.report.tables.scenarios.zero_shot import name_rows
from bench.report.tables.validators import distances


def leaderboard(results: Results) -> Table:
    """Methods by accuracy, a table per transfer kind and shots."""
    columns = {
        **{"method": plain, "place": plain, "group": plain},
        **{"accuracy": percent, f"accuracy{LOW}": percent, f"accuracy{HIGH}": percent},
        **{"gain": points, f"gain{LOW}": points, f"gain{HIGH}": points},
        **{"seed deviation": percent, "items seen (all)": count, "seconds": seconds, "memory": mebibytes},
        **{"done": count, "requested": count, "not converged": count},
        "upper bound": percent,
    }
    rows = [
        (
            *(board.block, row.method),
            None if row.place is None else "–".join(str(place) for place in dict.fromkeys(row.place)),
            *(row.letters or None, row.accuracy, *bounds(row.interval)),
            *(row.gain.points, *bounds(row.gain.interval)),
            *(row.deviation, row.items, row.seconds, row.memory, row.done, row.requested, row.unconverged),
            board.upper.accuracy if board.upper else None,
        )
        for board in results.boards
        for row in board.rows
    ]
    return table_by_block(
        "leaderboard",
        f"{results.words.Metric} in percent, gain over {results.baseline} in points",
        columns,
        rows,
    )


def remembered(results: Results) -> Table:
    """What methods remember of tasks."""
    columns = {
        **{"method": plain, "average accuracy": percent, "deviation": percent, "forgetting": points},
        **{"backward transfer": points, "forward transfer": points, "bytes kept": count, "cells": count},
    }
    rows = [
        (
            *(row.block, row.method, row.average, row.deviation, row.forgetting),
            *(row.backward, row.forward, row.kept, row.cells),
        )
        for row in tasks(results.frame)
    ]
    title = "Tasks: average accuracy in percent; forgetting, backward and forward transfer in points"
    return table_by_block("tasks", title, columns, rows)


def by_client(results: Results) -> Table:
    """What methods give to clients."""
    columns = {
        **{"method": plain, "mean client": percent, "worst client": percent, "bytes sent": count},
        **{"clients hurt": count, "clients": count, "largest loss": points, "cells": count},
    }
    rows = [
        (
            *(row.block, row.method, row.average, row.worst, row.sent),
            *(row.hurt, row.clients, row.harm, row.cells),
        )
        for row in clients(results.frame)
    ]
    return table_by_block("clients", "Clients: accuracy in percent, loss in points", columns, rows)


def rules(results: Results) -> Table:
    """Accuracy under every selection rule."""
    rows = [
        (block, row.method, *(row.accuracy[rule.name] for rule in RULES), row.oracle_gap)
        for block, _ in results.blocks()
        for row in boards.by_rule(results.frame, block)[0]
    ]
    names = {**{rule.name: percent for rule in RULES}, "oracle gap": points}
    return table_by_block(
        "selection-rules",
        f"{results.words.Metric} in percent by selection rule",
        {"method": plain, **names},
        rows,
    )


def at_equal_budget(results: Results) -> Table:
    """Methods at equal steps, items and seconds; those that are first evaluated beyond have no accuracy."""
    columns = {
        **{"measure": plain, "budget": decimals, "method": plain, "accuracy": percent},
        **{"spent": decimals, "cut at": plain, "at the end": percent},
    }
    rows = [
        (block, equal.measure, equal.budget, *row)
        for block, cells in results.blocks()
        for equal in equal_budgets(cells)
        for row in (
            *((each.method, each.accuracy, each.spent, each.cut, each.final) for each in equal.rows),
            *((method, None, first, None, None) for method, first in equal.beyond),
        )
    ]
    return table_by_block(
        "equal-budgets", f"{results.words.Metric} in percent at equal budget", columns, rows
    )


def measures(results: Results) -> Table:
    """Measures beside accuracy."""
    columns = {
        f"{measure.name}, {measure.unit}": decimals if measure.unit == "nats" else percent
        for measure in MEASURES
    }
    rows = [(block, *row) for block, cells in results.blocks() for row in by_method(cells).itertuples()]
    return table_by_block("measures", "More than accuracy", {"method": plain, **columns}, rows)


def classes(results: Results) -> Table:
    """Accuracy of every class, a column per method."""
    methods = sorted(results.frame["method"].dropna().unique())
    # Not the bare name: a method may be called `images`.
    columns = {"class": plain, "images": count, **{f"accuracy of {name}": percent for name in methods}}
    rows = [
        (block, name, row["images"], *(row.get(method) for method in methods))
        for block, cells in results.blocks()
        for name, row in by_class(cells).iterrows()
    ]
    return table_by_block("classes", "Accuracy in percent by class", columns, rows)


def by_pair(results: Results) -> Table:
    """Accuracy on every pair of domains."""
    rows = [
        (block, pair, method, float(mine.mean()), len(mine))
        for block, cells in results.blocks()
        for (pair, method), mine in scored(cells).groupby(["pair", "method"])[accuracy_column()]
    ]
    columns = {"pair": plain, "method": plain, "accuracy": percent, "cells": count}
    return table_by_block("pairs", f"{results.words.Metric} in percent by pair of domains", columns, rows)


def names(results: Results) -> Table:
    """Recall of classes' names."""
    columns = {
        **{"method": plain, "recall@1": percent, "recall@5": percent, "chance": percent, "cells": count},
    }
    rows = [
        (block, row.method, row.first, row.few, row.chance, row.cells)
        for block, cells in results.blocks()
        for row in name_rows(cells)
    ]
    return table_by_block("names", "Classes known by their names, in percent", columns, rows)


def open_set(results: Results) -> Table:
    """Known and unknown classes of targets that have such as the source lacks."""
    columns = {"method": plain, **dict.fromkeys(("HOS", "OS*", "UNK", "OS"), percent), "cells": count}
    rows = [
        (block, row.method, row.hos, row.os_star, row.unk, row.os, row.cells)
        for block, cells in results.blocks()
        for row in open_rows(cells)
    ]
    return table_by_block("open-set", "Known and unknown classes, percent", columns, rows)


def targets(results: Results) -> Table:
    """Mean and worst target of kinds that train on several sources together, and the best single source."""
    columns = {
        **{"method": plain, "targets": count, "accuracy": percent, "worst": percent, "worst target": plain},
        **{"best single source": percent, "gain over it": points},
    }
    rows = [
        (
            *(block, row.method, row.targets, row.mean, row.worst, row.hardest),
            *(row.single, row.gain),
        )
        for block, cells in results.blocks()
        for row in by_target(results.frame, block)
    ]
    title = f"{results.words.Metric} in percent by target, several sources together"
    return table_by_block("targets", title, columns, rows)


def confused(results: Results) -> Table:
    """Most frequent confusions of methods."""
    columns = {"method": plain, "class": plain, "taken for": plain, "images": count, "share": percent}
    rows = [
        (block, method, row.true, row.predicted, row.images, row.share)
        for block, cells in results.blocks()
        for method, mine in shared(cells).groupby("method")
        for row in confusions(mine)
    ]
    return table_by_block(
        "confusions", f"The most frequent confusions, share of a class's {results.words.items}", columns, rows
    )


def found_architectures(results: Results) -> Table:
    """Architectures that searches found."""
    columns = {"method": plain, "architecture": plain, "cells": count, "accuracy": percent}
    rows = [
        (row.block, row.method, row.parts, row.cells, row.accuracy) for row in architectures(results.frame)
    ]
    return table_by_block("architectures", "Architectures found", columns, rows)


def discrepancy(results: Results) -> Table:
    """Distances of domains before and after."""
    found = distances(results.frame)
    names = sorted({name for row in found for name in row.before})
    columns = {f"{name} {when}": decimals for name in names for when in ("before", "after")}
    rows = [
        (
            *(row.block, row.method),
            *(side.get(name) for name in names for side in (row.before, row.after)),
            row.cells,
        )
        for row in found
    ]
    title = "Domain discrepancy before training and at the last evaluation"
    return table_by_block("discrepancy", title, {"method": plain, **columns, "cells": count}, rows)


def features(results: Results) -> Table:
    """Numbers of kept features, where maps are drawn."""
    measured = ("class purity", "A-distance")
    columns = {f"{name} {when}": decimals for name in measured for when in ("before", "after")}
    rows = [
        (maps.block, cell.method, cell.pair, cell.images, *cell.purity, *cell.distance)
        for maps in results.maps
        for cell in maps.cells
        if cell.pictures
    ]
    title = f"Features of test {results.words.items} before and after training"
    return table_by_block(
        "features", title, {"method": plain, "pair": plain, "images": count, **columns}, rows
    )


def budgets(results: Results) -> Table:
    """Budgets of every method."""
    columns = {
        **{"method": plain, "steps": plain, "batch": plain, "evaluations": plain, "hyperparameters": plain},
        **{"declared": count, "labelled": count, "deviation": decimals},
        **dict.fromkeys(EXTRA, count),
        "seconds": seconds,
    }
    rows = [
        (
            *(block, row.method, row.stages, row.batch, row.evaluations, row.settings),
            *(row.declared, row.labelled, row.deviation),
            *(row.extra.get(name) for name in EXTRA),
            row.seconds,
        )
        for block, cells in results.blocks()
        for row in budgets_of(cells)
    ]
    return table_by_block("budgets", f"Labelled {results.words.items} declared and seen", columns, rows)
