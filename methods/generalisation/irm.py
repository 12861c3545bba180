"""IRM: features on which one classifier is the best for every source at once (invariant risk minimisation).

Arjovsky et al. 2019, "Invariant Risk Minimization". https://arxiv.org/abs/1907.02893

The penalty is IRMv1 (equation IRMv1, section 3.1), of which two halves of a source's items give an unbiased
estimate (appendix D). Weight 100 after a tenth of the stage, 1 before, as in Gulrajani & Lopez-Paz 2021,
appendix D.2 (https://arxiv.org/abs/2007.01434), whose optimiser begins anew there, which ours does not.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.api import GeneralisationMethod, Model, Side, risks, tunable


class Irm(GeneralisationMethod):
    """Mean risk of the sources, plus how much a scale of the logits could lower the risk of each."""

    reference = "hand-computed case"
    control = {"weight": 0.0}
    fewest = 2
    bounds = {"annealed": ">= 0, <= 1"}

    weight: float = tunable(100.0, 0.1, 1e5)
    """Weight of the penalty, lambda in the paper."""
    annealed: float = 0.1
    """Share of a stage before which the weight is 1 at most."""

    def over_sources(self, model: Model, sources: Mapping[int, Side], progress: float) -> Tensor:
        """Mean risk and mean penalty."""
        weight = self.weight if progress >= self.annealed else min(1.0, self.weight)
        penalties = [scale_gradient(s.logits, s.y) for s in sources.values() if s.y is not None]
        return risks(sources).mean() + weight * torch.stack(penalties).mean()


def scale_gradient(logits: Tensor, y: Tensor) -> Tensor:
    """Squared derivative of cross-entropy by a scale of logits (N, C) at 1, of labels (N,): -> ().

    The derivative of one item is sum_k (p_k - y_k) logit_k. Its means over every other item and over the rest
    are multiplied, so that the noise of one is not the other's.
    """
    error = logits.softmax(1) - nn.functional.one_hot(y, logits.shape[1])
    derivative = (error * logits).sum(1)
    return derivative[::2].mean() * derivative[1::2].mean()
