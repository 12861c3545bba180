"""AFN: features whose norms grow step by step, on source and target alike.

Xu et al. 2019, "Larger Norm More Transferable: An Adaptive Feature Norm Approach for Unsupervised Domain
Adaptation". https://arxiv.org/abs/1811.07456

The stepwise variant of section 3.4 (SAFN): step 1, trade-off 0.05. The means over source and target are
added as in its authors' code, where the paper takes one mean over both. On the pooled features, where the
paper takes those of a bottleneck with dropout.
"""

from __future__ import annotations

from torch import Tensor

from bench.api import AlignmentMethod, Model, Side, tunable


class Afn(AlignmentMethod):
    """Source cross-entropy plus the squared distance of each feature's norm from a slightly larger one."""

    reference = "pytorch-adapt 0.0.83"
    per_sample_loss = True
    presets = {"paper": {"learning_rate": 0.001, "weight_decay": 0.0005}}
    """As TLlib's script has it, by SGD, which has no momentum there."""

    weight: float = tunable(0.05, 0.001, 1.0)
    delta: float = tunable(1.0, 0.1, 5.0)
    """Growth of a norm in a step."""

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """Norm loss of both domains."""
        return larger_norm(source.features, self.delta) + larger_norm(target.features, self.delta)


def larger_norm(features: Tensor, delta: float) -> Tensor:
    """Mean squared distance of the norms of features (B, D) from `delta` more than they are: -> ()."""
    norms = features.norm(dim=1)
    return (norms - (norms.detach() + delta)).square().mean()
