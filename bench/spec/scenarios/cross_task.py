"""Other classes in the same domain: disjoint halves of the classes of each target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bench.spec.scenarios.base import Pair, ScenarioKind, Sides


class CrossTask(ScenarioKind):
    """Labelled half of the classes, shots of the other half."""

    halves_classes = True
    takes_sources = False
    source = "source: other classes"

    def check_sources(self, sources: Sides | Literal["all"]) -> None:
        """Check that only targets are named."""
        if sources != "all":
            raise ValueError("stays in one domain: name 'targets' only")

    def pairs(self, sources: Sides, targets: Sequence[str]) -> list[Pair]:
        """Each target with itself."""
        return [(target, target) for target in targets]
