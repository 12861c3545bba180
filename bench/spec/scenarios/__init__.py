"""Scenario kinds by name, a file each. A new kind is a file with its class, and a line here."""

from __future__ import annotations

from bench.spec.cell import Cell
from bench.spec.scenarios.base import ScenarioKind
from bench.spec.scenarios.continual import Continual
from bench.spec.scenarios.cross_domain import CrossDomain
from bench.spec.scenarios.cross_domain_task import CrossDomainTask
from bench.spec.scenarios.cross_task import CrossTask
from bench.spec.scenarios.federated import Federated
from bench.spec.scenarios.generalise import Generalise
from bench.spec.scenarios.multi_source import MultiSource
from bench.spec.scenarios.open_set import OpenSet
from bench.spec.scenarios.partial import Partial
from bench.spec.scenarios.pretrained import Pretrained
from bench.spec.scenarios.source_free import SourceFree
from bench.spec.scenarios.zero_shot import ZeroShot
from bench.spec.stages import StageSpec

KINDS: dict[str, ScenarioKind] = {
    "pretrained": Pretrained(),
    "cross-domain": CrossDomain(),
    "cross-task": CrossTask(),
    "cross-domain-task": CrossDomainTask(),
    "multi-source": MultiSource(),
    "generalise": Generalise(),
    "partial": Partial(),
    "open": OpenSet(),
    "source-free": SourceFree(),
    "continual": Continual(),
    "federated": Federated(),
    "zero-shot": ZeroShot(),
}


def stages(cell: Cell) -> list[StageSpec]:
    """Stages of a cell, in order, with every stream that its scenario offers."""
    return KINDS[cell.scenario.kind].stages(cell)
