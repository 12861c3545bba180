"""Surgical fine-tuning: train one part of the network alone, the lowest where the images look different.

Lee et al. 2023, "Surgical Fine-Tuning Improves Adaptation to Distribution Shifts".
https://arxiv.org/abs/2210.11466

As in the paper: one block's parameters, the first one's for shifts of the input (section 3). Unlike it, the
head is trained too, since source and target may have other classes than the network was pretrained for.
"""

from __future__ import annotations

from typing import cast

from bench.api import Backbone, GradientMethod, Model, ParameterGroups, UserError


class Surgical(GradientMethod):
    """Cross-entropy over one stage of the backbone, and the head."""

    reference = "hand-computed case"
    control = "full-finetune"
    bounds = {"stage": ""}

    stage: int = 0
    """Place of the stage that is trained: 0 is the lowest, -1 the highest."""

    def trainable(self, model: Model) -> ParameterGroups:
        """Parameters of the head and the chosen stage."""
        stages = cast(Backbone, model.backbone).stage_parameters()
        if not -len(stages) <= self.stage < len(stages):
            raise UserError(f"stage = {self.stage}: this network has stages 0 to {len(stages) - 1}")
        chosen = [*model.head.parameters(), *stages[self.stage]]
        return [
            {"params": [p for p in chosen if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in chosen if p.ndim <= 1], "weight_decay": 0.0},
        ]
