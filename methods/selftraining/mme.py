"""MME: class prototypes move towards the target by maximal entropy, features towards prototypes by minimal.

Saito et al. 2019, "Semi-supervised Domain Adaptation via Minimax Entropy". https://arxiv.org/abs/1904.06487

As in the paper: a classifier of normalised features with temperature 0.05 (section 3.1), entropy of the
target's predictions with a reversed gradient between features and classifier (section 3.2), lambda 0.1.
"""

from __future__ import annotations

from torch import Tensor, nn

from bench.api import AlignmentMethod, Model, Side, Task, entropy, reverse_gradient, tunable


class NormalisedHead(nn.Module):
    """Linear classifier, without bias, of features of length one."""

    def __init__(self, in_features: int, classes: int, temperature: float) -> None:
        super().__init__()
        self.in_features, self.temperature = in_features, temperature
        self.linear = nn.Linear(in_features, classes, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, classes)."""
        out: Tensor = self.linear(nn.functional.normalize(features, dim=1)) / self.temperature
        return out


class Mme(AlignmentMethod):
    """Cross-entropy plus a minimax game of classifier and features over the target's entropy."""

    reference = "pytorch-adapt 0.0.83"
    per_sample_loss = True
    bounds = {"temperature": "> 0"}

    weight: float = tunable(0.1, 0.01, 1.0)
    temperature: float = tunable(0.05, 0.01, 1.0)

    def new_head(self, num_features: int, task: Task) -> nn.Module:
        """Make a classifier of normalised features."""
        return NormalisedHead(num_features, len(task.classes), self.temperature)

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """Negative entropy for the classifier, which the features' reversed gradient turns round."""
        return -entropy(model.head(reverse_gradient(target.features, 1.0)).softmax(1)).mean()
