"""Gradual unfreezing: train the head first, then one stage more at a time, lower ones ever more slowly.

Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification" (ULMFiT), sections 3.2
and 3.3: discriminative learning rates and gradual unfreezing. https://arxiv.org/abs/1801.06146
"""

from __future__ import annotations

from typing import cast

from bench.api import Backbone, GradientMethod, Model, ParameterGroups, tunable


class GradualUnfreeze(GradientMethod):
    """Cross-entropy over layers that join in from the top, each with a rate of its own."""

    reference = "hand-computed case"
    control = "full-finetune"
    bounds = {"decay": "> 0"}

    decay: float = tunable(2.6, 1.0, 5.0)
    """Each lower stage's learning rate is this many times smaller (section 3.2)."""
    unfrozen_by: float = tunable(0.5, 0.1, 0.9, log=False)
    """Progress at which the lowest stage has joined in."""

    def trainable(self, model: Model) -> ParameterGroups:
        """Parameters of the head, then of the stages from the top."""
        stages = cast(Backbone, model.backbone).stage_parameters()[::-1]
        parts = [list(model.head.parameters()), *stages]
        return [
            {
                "params": [p for p in part if (p.ndim > 1) == decayed],
                "lr": self.learning_rate / self.decay**depth,
                "weight_decay": self.weight_decay if decayed else 0.0,
                "unfreeze_at": self.unfrozen_by * depth / len(stages),
            }
            for depth, part in enumerate(parts)
            for decayed in (True, False)
        ]
