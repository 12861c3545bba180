"""Classes that are known by their names alone (zero-shot learning): half of the classes to the other half.

Lampert et al. 2009, https://doi.org/10.1109/CVPR.2009.5206594. As there, no item of the new classes is seen
before the test, labelled or not, and the test is among new classes alone.
"""

from __future__ import annotations

from bench.spec.cell import Cell
from bench.spec.scenarios.base import source_stages
from bench.spec.scenarios.cross_task import CrossTask
from bench.spec.stages import StageSpec


class ZeroShot(CrossTask):
    """Labelled half of the classes; of the other half the names, for which a head is made."""

    source = "source: other classes; the target's by name"
    shows_target = False
    unlabelled = "names new classes, and shows no item of them"
    names_classes = True

    def stages(self, cell: Cell) -> list[StageSpec]:
        """The source's, then a head for the new classes, tested as it is."""
        source = [stage.model_copy(update={"unlabelled": None}) for stage in source_stages(cell)]
        names = StageSpec(
            name="names",
            labelled=None,
            head=cell.scenario.target_classes,
            steps=1,
            evaluate_on=("target-test",),
        )
        return [*source, names]
