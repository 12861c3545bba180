"""V-REx: the same risk in every source (risk extrapolation).

Krueger et al. 2021, "Out-of-Distribution Generalization via Risk Extrapolation".
https://arxiv.org/abs/2003.00688

The risks' variance is the penalty (equation 8; of the mean risk, as in the authors' code, where the
equation has the sum). Weight 10 after a tenth of the stage, 1 before, as in Gulrajani & Lopez-Paz 2021,
appendix D.2 (https://arxiv.org/abs/2007.01434), whose optimiser begins anew there, which ours does not.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from bench.api import GeneralisationMethod, Model, Side, risks, tunable


class Vrex(GeneralisationMethod):
    """Mean risk of the sources plus its variance over them."""

    reference = "hand-computed case"
    control = {"weight": 0.0}
    fewest = 1
    bounds = {"annealed": ">= 0, <= 1"}

    weight: float = tunable(10.0, 0.1, 1e5)
    """Weight of the variance, beta in the paper."""
    annealed: float = 0.1
    """Share of a stage before which the weight is 1 at most."""

    def over_sources(self, model: Model, sources: Mapping[int, Side], progress: float) -> Tensor:
        """Mean risk and variance."""
        weight = self.weight if progress >= self.annealed else min(1.0, self.weight)
        found = risks(sources)
        return found.mean() + weight * found.var(correction=0)
