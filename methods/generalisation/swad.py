"""SWAD: the average of a network's weights over the valley of its validation loss (dense weight averaging).

Cha et al. 2021, "SWAD: Domain Generalization by Seeking Flat Minima". https://arxiv.org/abs/2102.08604

As in the paper's algorithm 1, with its 3 validations to begin, 6 to end and tolerance 1.3 (section 3.3 and
appendix): the average takes every step, and begins and ends between validations on a fifth of the labelled
images. There are 12 validations a stage, between which averages are kept, where the paper has up to a
hundred. Batch norm's statistics are averaged too; the paper freezes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from bench.api import GradientMethod, Labelled, Model, Snapshot, StageItems, Task, tunable

PARTS = 12
"""Averages that are kept: of the steps from one validation to the next."""


class Swad(GradientMethod):
    """Cross-entropy over all layers, whose weights are averaged where the validation loss is low."""

    reference = "hand-computed case"
    control = "full-finetune"
    hold_out = 0.2
    # Followers of several devices do not validate.
    per_sample_loss = False
    bounds = {"tolerance": ">= 1"}

    tolerance: float = tunable(1.3, 1.1, 2.0, log=False)
    """Factor on the first losses of the valley, above which it ends; r in the paper."""

    def validate_at(self, model: Model) -> tuple[float, ...]:
        """Moments between the parts of a stage."""
        return tuple(part / PARTS for part in range(1, PARTS))

    def begin(self, model: Model, items: StageItems, task: Task) -> None:
        """Make room for the averages."""
        model.averages = nn.ModuleList(Snapshot(_trained(model)) for _ in range(PARTS))
        device = items.labelled.y.device
        # Of each part, steps and validation loss; the part that is going on.
        model.register_buffer("steps", torch.zeros(PARTS, device=device), persistent=False)
        model.register_buffer("losses", torch.full((PARTS,), math.inf, device=device), persistent=False)
        model.register_buffer("part", torch.zeros((), dtype=torch.long, device=device), persistent=False)

    def after_step(self, model: Model, progress: float) -> None:
        """Follow with the average of this part."""
        steps, part = cast(Tensor, model.steps), int(cast(Tensor, model.part))
        steps[part] += 1
        cast(Snapshot, cast(nn.ModuleList, model.averages)[part]).follow(
            _trained(model), 1 / float(steps[part])
        )

    @torch.no_grad()
    def on_validation(self, model: Model, held_out: Labelled, progress: float) -> None:
        """Note the validation loss, and begin the next part."""
        logits = torch.cat([model(x) for x in held_out.x.split(256)])
        part = cast(Tensor, model.part)
        cast(Tensor, model.losses)[part] = nn.functional.cross_entropy(logits, held_out.y)
        part += 1

    def finish(self, model: Model, items: StageItems, task: Task) -> None:
        """Put the average over the valley in place of the last weights."""
        steps, parts = cast(Tensor, model.steps).tolist(), int(cast(Tensor, model.part))
        first, last = valley(cast(Tensor, model.losses).tolist()[:parts], self.tolerance)
        taken = 0.0
        for part in range(first, last + 1):
            taken += steps[part]
            if steps[part]:
                snapshot = cast(Snapshot, cast(nn.ModuleList, model.averages)[part])
                snapshot.mix_into(_trained(model), 1 - steps[part] / taken)


def _trained(model: Model) -> nn.Module:
    return nn.ModuleList([model.backbone, model.head])


def valley(losses: Sequence[float], tolerance: float, begin: int = 3, end: int = 6) -> tuple[int, int]:
    """First and last of the parts that are averaged, by the losses after each but the last (algorithm 1).

    They begin where a loss is the least of `begin` in a row, and end before `end` in a row are above
    `tolerance` times the mean of those.
    """
    first, highest = 0, None
    for place in range(len(losses)):
        if highest is None:
            seen = losses[place - begin + 1 : place + 1] if place + 1 >= begin else []
            if seen and seen[0] == min(seen):
                first, highest = place - begin + 1, tolerance * sum(seen) / begin
        elif place + 1 >= end and min(losses[place - end + 1 : place + 1]) > highest:
            return first, place - end
    return first, len(losses)
