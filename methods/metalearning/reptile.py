"""Reptile: an initialisation that moves towards the weights that a few steps on a task lead to.

Nichol et al. 2018, "On First-Order Meta-Learning Algorithms". https://arxiv.org/abs/1803.02999

As in the paper: steps on one task, each on other images of it, and the way back from their end as a gradient
for an adaptive optimiser, (start - end) / inner rate (section 2). Unlike it: one task a step; plain gradient
steps inside, as for MAML here; a head made of the task's prototypes in each, so that the classes need not be
as many as the target's.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from bench.api import Batch, Episode, InnerLoopMethod, Model, adapt, prototype_head, prototypes


class Reptile(InnerLoopMethod):
    """Moves towards what it adapts to on episodes of the source; adapts to the shots by gradient steps."""

    reference = "learn2learn 0.2.0"
    control = "ncm"

    inner_steps: int = 4
    second_order: bool = False

    def episode_loss(self, model: Model, batch: Batch, episode: Episode) -> Tensor:
        """Half the squared distance to the adapted weights, whose gradient is the way back from them."""
        border = [episode.learnt]
        halves = list(zip(batch.x.tensor_split(border), batch.y.tensor_split(border), strict=True))
        means = prototypes(model.features(halves[0][0]), halves[0][1], episode.way)
        batches = itertools.islice(itertools.cycle(halves), self.inner_steps)
        names, head = self.inner(model), prototype_head(means, self.scale)
        fast = adapt(model, names, head, batches, self.inner_rate, second_order=False)
        moves = [(model.get_parameter(name) - fast[name].detach()).square().sum() for name in names]
        return torch.stack(moves).sum() / (2 * self.inner_rate)
