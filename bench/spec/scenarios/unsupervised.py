"""Base of the kinds whose target has other classes than the source: they are for 0 shots alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bench.spec.cell import Shots
from bench.spec.scenarios.base import ScenarioKind, Sides


class Unsupervised(ScenarioKind):
    """Labelled source and unlabelled target. The head is for the source's classes."""

    def check(self, sources: Sides | Literal["all"], shots: Sequence[Shots], target_classes: str) -> None:
        """Check that no label of the target is asked for: it would tell its classes."""
        super().check(sources, shots, target_classes)
        if {*shots} != {0}:
            raise ValueError("is without labels of the target, which would tell its classes: use shots = [0]")
