"""Links from a number to its records: the records of a page in groups, and the anchors of both."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bench.report.scores.bootstrap import Interval
from bench.report.scores.frame import OBJECTS, accuracy_column
from bench.report.tables import formats
from bench.report.tables.leaderboard import Block, blocks

UNKNOWN = "of unknown cells"


@dataclass(frozen=True)
class Group:
    """Records of one method in one block; `block` is None where damage leaves that unknown."""

    anchor: str
    block: Block | None
    method: str
    rows: list[dict[str, Any]]

    @property
    def title(self) -> str:
        """Title of block and method in words."""
        return f"{self.method}, {self.block.title}" if self.block else f"records {UNKNOWN}"

    @property
    def counts(self) -> str:
        """Number of records by status, as `11 done, 1 failed`."""
        found = pd.Series([row["status"] for row in self.rows]).value_counts()
        return formats.listed([f"{count} {status}" for status, count in found.items()])


@dataclass(frozen=True)
class RecordLinks:
    """Anchors of the records on the page."""

    groups: list[Group]
    anchors: dict[tuple[str, str, str], str] = field(repr=False)

    def of(self, block: Block, method: str) -> str:
        """Anchor of a method's records in a block."""
        return self.anchors[block.kind, block.shots, method]


def quoted(folder: str) -> str:
    """Quote a folder for a shell, which still expands its `~`."""
    home, slash, rest = folder.partition("/")
    return f"~/{shlex.quote(rest)}" if home == "~" and slash and rest else shlex.quote(folder)


def record_anchor(key: str) -> str:
    """Anchor of one record."""
    return f"record-{re.sub(r'[^A-Za-z0-9_-]', '-', key)}"


def record_links(frame: pd.DataFrame, folder: str) -> RecordLinks:
    """Group all rows of a frame, each group by pair, backbone, seed and key, with commands to run again."""
    rows = frame.drop(columns=list(OBJECTS)).assign(accuracy=frame[accuracy_column()])
    rows = rows.sort_values(["pair", "backbone", "seed", "key"], na_position="last").astype(object)
    rows = rows.where(rows.notna(), None)
    where = quoted(folder)
    groups = []
    for number, block in enumerate(blocks(frame)):
        mine = block.of(rows)
        for place, (method, part) in enumerate(mine.groupby("method", sort=True)):
            groups.append(Group(f"records-{number}-{place}", block, str(method), _listed(part, where)))
    lost = rows[rows["kind"].isna() | rows["method"].isna()]
    anchors = {(g.block.kind, g.block.shots, g.method): g.anchor for g in groups if g.block}
    if len(lost):
        groups.append(Group("records-unknown", None, "", _listed(lost, where)))
    return RecordLinks(groups, anchors)


def _listed(rows: pd.DataFrame, where: str) -> list[dict[str, Any]]:
    found = []
    for row in rows.to_dict("records"):
        again = row["again"] or f"python -m bench run --cell {row['key']}"
        interval = Interval(row["low"], row["high"]) if formats.known(row["low"]) else None
        more = {"anchor": record_anchor(row["key"]), "command": f"{again} --results {where}"}
        found.append(row | more | {"interval": interval})
    return found
