"""Same classes in another domain (domain adaptation): every source to every other target."""

from __future__ import annotations

from bench.spec.scenarios.base import ScenarioKind


class CrossDomain(ScenarioKind):
    """Labelled source, unlabelled target, and its shots, if any."""
