"""Environment of a running cell: the question, how it is computed, where costs and progress go."""

from __future__ import annotations

from dataclasses import dataclass

from bench.data.dataset import Progress
from bench.engine.training.artifacts import Artifacts
from bench.engine.training.cost import CostTracker
from bench.records.record import Digests
from bench.spec.cell import Cell, Setting


@dataclass(frozen=True)
class CellEnv:
    """Context that the parts of one running cell share."""

    cell: Cell
    setting: Setting
    digests: Digests
    artifacts: Artifacts
    cost_tracker: CostTracker
    progress: Progress
