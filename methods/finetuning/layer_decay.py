"""Layer-wise learning-rate decay: each lower stage is trained at a smaller rate.

Clark et al. 2020, "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators", appendix
A. https://arxiv.org/abs/2003.10555

The rate of a stage is that of the one above times the decay: 0.75, as Bao et al. 2021 choose for images
(https://arxiv.org/abs/2106.08254, appendix). By stages of the network, where the papers count layers.
"""

from __future__ import annotations

from typing import cast

from bench.api import Backbone, GradientMethod, Model, ParameterGroups, tunable


class LayerDecay(GradientMethod):
    """Cross-entropy over all layers, the lower ones at ever smaller rates."""

    reference = "timm 1.0.9+"
    control = {"decay": 1.0}

    decay: float = tunable(0.75, 0.3, 1.0, log=False)
    """Factor on the learning rate from a stage to the one below."""

    def trainable(self, model: Model) -> ParameterGroups:
        """Parameters of the head, then of the stages from the top."""
        parts = [list(model.head.parameters()), *cast(Backbone, model.backbone).stage_parameters()[::-1]]
        return [
            {
                "params": [p for p in part if (p.ndim > 1) == decayed],
                "lr": self.learning_rate * self.decay**depth,
                "weight_decay": self.weight_decay if decayed else 0.0,
            }
            for depth, part in enumerate(parts)
            for decayed in (True, False)
        ]
