"""The source's items are gone once it is learnt (source-free domain adaptation).

Liang et al. 2020, https://arxiv.org/abs/2002.08546.
"""

from __future__ import annotations

from bench.spec.cell import Cell
from bench.spec.scenarios.base import ScenarioKind, source_stages, target_stages
from bench.spec.stages import StageSpec


class SourceFree(ScenarioKind):
    """Labelled source, then the target alone: its unlabelled items, and its shots, if any."""

    source = "source: another domain, whose images are gone afterwards"
    keeps_source = False

    def stages(self, cell: Cell) -> list[StageSpec]:
        """A source stage that knows no target, and stages on the target that know no source."""
        return [
            *(stage.model_copy(update={"unlabelled": None}) for stage in source_stages(cell)),
            *(_without_source(stage) for stage in target_stages(cell)),
        ]


def _without_source(stage: StageSpec) -> StageSpec:
    scored = tuple(name for name in stage.evaluate_on if name != "source-validation")
    return stage.model_copy(update={"replay": None, "evaluate_on": scored})
