"""Families of methods: what those who build a page know of methods beside their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.report.tables.leaderboard import Leaderboard, Standing

UNKNOWN = "unknown"
"""Family of a method that is not installed where the page is built."""


@dataclass(frozen=True)
class MethodNotes:
    """What is known of methods, by name, where a page is built; records do not say it.

    source_alone: the method that stands for the source stage alone at 0 shots; default: the baseline.
    families: family of each installed method; where it is empty, a page has no families.
    about: a sentence on each family.
    """

    source_alone: str | None = None
    families: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)

    def family(self, method: str) -> str:
        """Family of a method or of a variant of it, as `dann (weight=0.3)`; empty where none are known."""
        if not self.families:
            return ""
        return self.families.get(method) or self.families.get(method.split(" (", maxsplit=1)[0]) or UNKNOWN


@dataclass(frozen=True)
class FamilyStanding:
    """Best method of a family in a leaderboard, and the methods of the family that have an accuracy."""

    family: str
    best: Standing
    members: int


def by_family(board: Leaderboard, notes: MethodNotes) -> list[FamilyStanding]:
    """Families of a leaderboard, by the accuracy of their best methods; none where families are not known."""
    found: dict[str, list[Standing]] = {}
    for row in board.rows if notes.families else ():
        if row.accuracy is not None:
            found.setdefault(notes.family(row.method), []).append(row)
    return [FamilyStanding(family, rows[0], len(rows)) for family, rows in found.items()]


def grouped(methods: Sequence[str], notes: MethodNotes) -> dict[str, list[str]]:
    """Methods by family, both in order of their first; under an empty name where families are not known."""
    found: dict[str, list[str]] = {}
    for method in sorted(methods, key=lambda name: (notes.family(name), name)):
        found.setdefault(notes.family(method), []).append(method)
    return found
