"""BitFit: train the biases, and the head.

Ben Zaken et al. 2022, "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked
Language-models". https://arxiv.org/abs/2106.10199

As in the paper (section 2), every bias term: in networks without others, those of batch norm.
"""

from __future__ import annotations

from bench.api import GradientMethod, Model, ParameterGroups, tunable


class Bitfit(GradientMethod):
    """Cross-entropy over the biases of all layers, and the head."""

    reference = "loralib 0.1.2"
    control = "linear-probe"

    learning_rate: float = tunable(3e-3, 1e-4, 3e-2)

    def trainable(self, model: Model) -> ParameterGroups:
        """Biases of the backbone, and the head."""
        biases = [p for name, p in model.backbone.named_parameters() if name.endswith("bias")]
        return [
            {"params": biases, "weight_decay": 0.0},
            {"params": list(model.head.parameters()), "weight_decay": self.weight_decay},
        ]
