"""No source but what the backbone was pretrained on: shots of each target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bench.spec.cell import Cell, Shots
from bench.spec.scenarios.base import Pair, ScenarioKind, Sides, target_stages
from bench.spec.stages import StageSpec


class Pretrained(ScenarioKind):
    """Shots of the target alone."""

    takes_sources = False
    source = "no source"

    def check(self, sources: Sides | Literal["all"], shots: Sequence[Shots], target_classes: str) -> None:
        """Check that there are labels, and no source."""
        if sources != "all":
            raise ValueError("has no source: remove 'sources'")
        if 0 in shots:
            raise ValueError("has no labels at 0 shots: remove 0 from 'shots'")

    def pairs(self, sources: Sides, targets: Sequence[str]) -> list[Pair]:
        """Each target without a source."""
        return [(None, target) for target in targets]

    def stages(self, cell: Cell) -> list[StageSpec]:
        """The target's."""
        return target_stages(cell)
