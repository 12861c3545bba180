"""A domain that nobody has seen (domain generalisation): all other domains to each that is held out.

Blanchard et al. 2011, https://papers.nips.cc/paper/4312; Gulrajani & Lopez-Paz 2021,
https://arxiv.org/abs/2007.01434, whose training-domain validation is the rule `source-val`.
"""

from __future__ import annotations

from bench.spec.cell import Cell
from bench.spec.scenarios.base import source_stages
from bench.spec.scenarios.multi_source import MultiSource
from bench.spec.stages import StageSpec


class Generalise(MultiSource):
    """Labelled sources together. The target's images are tested on, and offered to nobody before."""

    source = "sources: the other domains together; the target's images are not seen"
    shows_target = False
    unlabelled = "offers no image of the target, labelled or not"
    fewest = 1

    def stages(self, cell: Cell) -> list[StageSpec]:
        """The sources', evaluated on what they hold out and on the target's test items."""
        return [
            stage.model_copy(update={"unlabelled": None, "evaluate_on": ("target-test", "source-validation")})
            for stage in source_stages(cell)
        ]
