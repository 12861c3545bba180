"""Gains of a method over plain ones, and architectures that searches found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import pandas as pd

from bench.report.scores.frame import accuracy_column, methods_only
from bench.report.statistics.summary import NOTHING, Difference, controls, difference, scored
from bench.report.tables.leaderboard import Block, blocks

REFERENCES = ("linear-probe", "scratch")
"""Methods that gains are shown over: frozen features, and nothing transferred at all."""


@dataclass(frozen=True)
class Gains:
    """Paired gains of one method in one block over each reference, by name."""

    block: Block
    method: str
    over: dict[str, Difference]


def gains(frame: pd.DataFrame, references: Sequence[str] = REFERENCES) -> list[Gains]:
    """Points over each reference on the same question and seed; references that no block has are left out."""
    found = []
    for block in blocks(frame):
        rows = block.of(frame)
        others = {name: rows[rows["method"] == name] for name in references}
        for method in sorted(scored(rows)["method"].unique()):
            mine = rows[rows["method"] == method]
            over = {
                name: NOTHING if name == method else difference(mine, other) for name, other in others.items()
            }
            if any(gain.cells for gain in over.values()):
                found.append(Gains(block, str(method), over))
    return found


@dataclass(frozen=True)
class GainParts:
    """GainParts of a method's gain in a block: of its idea, over its control, and of its recipe.

    The recipe's is the control's gain over the baseline, 0 where `plain` says that it is the baseline. Both
    are over the cells of the method whose control is done; where the baseline has all of these, they add up
    to the gain over it.
    """

    block: Block
    method: str
    control: str
    idea: Difference
    recipe: Difference
    plain: bool


def gain_parts(frame: pd.DataFrame, baseline: str) -> list[GainParts]:
    """Part the gains of the methods of a frame, which has the rows of their controls too."""
    rows = scored(frame)
    found = []
    for block in blocks(rows):
        everything = block.of(rows)
        cells = methods_only(everything)
        reference = cells[cells["method"] == baseline]
        for method, mine in cells.groupby("method"):
            control = controls(mine, everything)
            if control.empty:
                continue
            plain = bool(control["key"].isin(reference["key"]).all())
            recipe = NOTHING if plain else difference(control, reference)
            name = str(mine["control"].dropna().iloc[0])
            found.append(GainParts(block, str(method), name, difference(mine, control), recipe, plain))
    return found


@dataclass(frozen=True)
class Architecture:
    """Architecture that a method's search ended with, in how many of its cells."""

    block: Block
    method: str
    parts: str
    cells: int
    accuracy: float


def architectures(frame: pd.DataFrame) -> list[Architecture]:
    """Architectures found, by block and method, the most frequent first; accuracy is a mean, percent."""
    cells = scored(frame)
    cells = cells[cells["architecture"].notna()]
    found = [
        Architecture(block, str(method), str(parts), len(rows), float(rows[accuracy_column()].mean()))
        for block in blocks(cells)
        for (method, parts), rows in block.of(cells).groupby(["method", "architecture"])
    ]
    return sorted(found, key=lambda row: (row.block.kind, row.block.supervision, row.method, -row.cells))


def by_shots(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Mean headline accuracy in percent: methods (rows) by shots (columns), no episodes.

    Over the pairs and seeds that a method has done at every number of shots that it has done at all, so
    that a curve does not rise because an easier pair joined in.
    """
    cells = scored(frame[frame["kind"] == kind])
    cells = cells[cells["supervision"].map(attrgetter("plain")).eq(True)]
    means = {}
    for method, mine in cells.groupby("method"):
        wide = mine.pivot_table(index=["pair", "seed", "backbone"], columns="shots", values=accuracy_column())
        means[str(method)] = wide.dropna().mean()
    table = pd.DataFrame(means).T
    return table.reindex(columns=list(dict.fromkeys(each.label for each in sorted(cells["supervision"]))))
