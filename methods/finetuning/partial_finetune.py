"""Partial fine-tuning: keep the general lower layers, train the specific upper ones.

Yosinski et al. 2014, "How transferable are features in deep neural networks?"
https://arxiv.org/abs/1411.1792
"""

from __future__ import annotations

from bench.api import POOLED, Backbone, GradientMethod, UserError, tunable


class PartialFinetune(GradientMethod):
    """Cross-entropy over the upper stages; the lower ones are frozen, their batch norm too."""

    reference = "hand-computed case"
    views = 4
    control = "full-finetune"

    unfreeze: str | int = "last-stage"
    """`head`, `last-stage`, the name of the stage to freeze up to, or how many stages to train."""
    learning_rate: float = tunable(1e-3, 1e-4, 1e-2)

    def split_point(self, backbone: Backbone) -> str:
        """Split point: the stage up to which the backbone is frozen."""
        if self.unfreeze == "head":
            return POOLED
        if self.unfreeze in backbone.stages:
            return str(self.unfreeze)
        trained = 1 if self.unfreeze == "last-stage" else self.unfreeze
        if not isinstance(trained, int) or not 1 <= trained < len(backbone.stages):
            raise UserError(
                f"unfreeze = {self.unfreeze!r}: choose head, last-stage, a number of stages from 1 to "
                f"{len(backbone.stages) - 1}, or one of {', '.join(backbone.stages)}"
            )
        return backbone.stages[-1 - trained]
