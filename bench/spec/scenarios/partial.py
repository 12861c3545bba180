"""The target has some of the source's classes alone, and nobody says which (partial domain adaptation).

Cao et al. 2018, https://arxiv.org/abs/1808.04205.
"""

from __future__ import annotations

from bench.spec.scenarios.base import ScenarioKind


class Partial(ScenarioKind):
    """Labelled source, unlabelled target of the first `target_classes` of the classes."""

    takes = "target_classes"
    source = "source: another domain; the target lacks some of its classes"
    unlabelled = "has no labels of the target, which would tell its classes"
