"""The target has classes that the source lacks, which are to be rejected (open-set domain adaptation).

Saito et al. 2018, https://arxiv.org/abs/1804.10427: the source knows the classes that both share alone.
"""

from __future__ import annotations

from bench.spec.scenarios.base import ScenarioKind


class OpenSet(ScenarioKind):
    """Labelled source of the first classes, unlabelled target of these and of the last `unknown` ones."""

    takes = "unknown"
    source = "source: another domain; the target has classes that it lacks"
    unlabelled = "has no labels of the target, which would tell its classes"
