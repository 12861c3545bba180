"""Other classes in another domain: every source to every other target, disjoint halves of the classes."""

from __future__ import annotations

from bench.spec.scenarios.base import ScenarioKind


class CrossDomainTask(ScenarioKind):
    """Labelled source of half of the classes, shots of the other half in another domain."""

    halves_classes = True
    source = "source: another domain and other classes"
