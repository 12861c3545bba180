"""Group DRO: the sources that are learnt worst weigh most (distributionally robust optimisation).

Sagawa et al. 2020, "Distributionally Robust Neural Networks for Group Shifts".
https://arxiv.org/abs/1911.08731

As in the paper's algorithm 1, with its step size of 0.01 (of the authors' code); the groups are the
sources, as in Gulrajani & Lopez-Paz 2021 (https://arxiv.org/abs/2007.01434). Weight decay is that of all
methods here, where the paper wants a strong one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from bench.api import (
    Details,
    GeneralisationMethod,
    Model,
    Side,
    StageItems,
    Task,
    count_sources,
    risks,
    tunable,
)


class GroupDro(GeneralisationMethod):
    """Cross-entropy of each source, weighted by weights that grow with it."""

    reference = "hand-computed case"
    control = {"step": 0.0}

    step: float = tunable(0.01, 1e-3, 1.0)
    """Step size of the weights, eta in the paper; 0: all sources weigh the same."""

    def begin(self, model: Model, items: StageItems, task: Task) -> None:
        """Begin with equal weights."""
        super().begin(model, items, task)
        sources = count_sources(items)
        weights = torch.full((sources,), 1 / sources, device=items.labelled.y.device)
        model.register_buffer("source_weights", weights, persistent=False)

    def over_sources(self, model: Model, sources: Mapping[int, Side], progress: float) -> Tensor:
        """Weighted risk, after the weights have followed the risks."""
        weights, found = cast(Tensor, model.source_weights), risks(sources)
        weights.copy_(reweighted(weights, found.detach(), self.step))
        return weights @ found

    def report(self, model: Model) -> Details:
        """Weights in the end."""
        weights = cast(Tensor, model.source_weights).tolist()
        return {"source weights": weights} if len(weights) > 1 else {}


def reweighted(weights: Tensor, losses: Tensor, step: float) -> Tensor:
    """Weights (G,) after a step of exponentiated gradient ascent on losses (G,): they sum to 1."""
    grown = weights * (step * losses).exp()
    return grown / grown.sum()
