"""Kinds whose target has parts: tasks that come one after the other, or clients that train side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from bench.core.text import counted
from bench.spec.cell import Part, Shots
from bench.spec.options import PartOptions
from bench.spec.scenarios.base import ScenarioKind, Sides


class Arrangement(NamedTuple):
    """Target in parts, and its name."""

    target: str
    parts: tuple[Part, ...]


class PartsKind(ScenarioKind):
    """Kind without a source whose target has several parts."""

    takes_sources = False
    source = "no source"

    def check_sources(self, sources: Sides | Literal["all"]) -> None:
        """Check that there is no source."""
        if sources != "all":
            raise ValueError("has no source: name 'targets' only")

    def check(self, sources: Sides | Literal["all"], shots: Sequence[Shots], target_classes: str) -> None:
        """Check that there are labels, and no source."""
        super().check(sources, shots, target_classes)
        if 0 in shots:
            raise ValueError("has no labels at 0 shots: remove 0 from 'shots'")

    def arrangements(
        self, options: PartOptions, domains: Sequence[str], classes: tuple[str, ...]
    ) -> list[Arrangement]:
        """Targets of the kind over some domains and classes.

        Raises:
            ValueError: they are too few.
        """
        raise NotImplementedError


def two_or_more(parts: Sequence[object], noun: str) -> None:
    """Raise `ValueError` where a target has one part alone."""
    if len(parts) < 2:
        raise ValueError(f"takes two {noun}s or more, and has {counted(len(parts), noun)}")
