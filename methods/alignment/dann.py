"""DANN: features from which a discriminator cannot tell source from target.

Ganin et al. 2016, "Domain-Adversarial Training of Neural Networks". https://arxiv.org/abs/1505.07818

As in the paper: gradient reversal (section 4.2), the reversal's schedule and the learning-rate schedule
(section 5.2), a discriminator with two hidden layers of 1,024. Unlike it: AdamW as for every method here,
in its AMSGrad variant (Reddi et al. 2018, https://arxiv.org/abs/1904.09237). Plain Adam keeps its steps as
large as ever when the label loss fades, and they become the discriminator's;
`docs/measurements/recipes.md` has numbers.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from bench.api import Access, Backbone, Batch, GradientMethod, Model, Task, tunable


class Dann(GradientMethod):
    """Source cross-entropy plus adversarial alignment of source and target features."""

    access = Access.SOURCE_LABELS | Access.SOURCE_REPLAY | Access.TARGET_IMAGES | Access.TARGET_LABELS
    needs = Access.SOURCE_LABELS | Access.TARGET_IMAGES
    per_sample_loss = True

    weight: float = tunable(1.0, 0.01, 3.0)
    """Trade-off between the label loss and the domain loss."""
    hidden: int = 1024
    """Width of the discriminator."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Backbone, linear head, and the domain discriminator on the pooled features."""
        model = super().build(backbone, task)
        model.discriminator = nn.Sequential(
            nn.Linear(backbone.num_features, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, 1),
        )
        return model

    def optimizer(self, model: Model, task: Task) -> torch.optim.Optimizer:
        """AdamW with AMSGrad."""
        return torch.optim.AdamW(self.trainable(model), lr=self.learning_rate, amsgrad=True, fused=True)

    def schedule(self, progress: float) -> float:
        """Learning-rate factor (1 + 10 p)^-0.75, after a short warm-up."""
        rise = min(1.0, progress / self.warmup) if self.warmup > 0 else 1.0
        return float(max(rise, 0.01) * (1 + 10 * progress) ** -0.75)

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Label loss on all labelled images, domain loss on source against unlabelled target images.

        Where the target has other classes than the source, replayed source images only align features.
        """
        assert batch.target_x is not None
        source_x = batch.x[:0] if batch.source_x is None else batch.source_x
        sizes = [len(batch.x), len(source_x), len(batch.target_x)]
        features = model.features(torch.cat([batch.x, source_x, batch.target_x]))
        labelled, source, target = features.split(sizes)
        logits, y = model.head(labelled), batch.y
        if batch.source_y is not None:
            logits, y = torch.cat([logits, model.head(source)]), torch.cat([y, batch.source_y])
        label_loss = nn.functional.cross_entropy(logits, y)
        # In the source stage the labelled images are the source; in the target stage it is replayed.
        source = labelled if batch.source_x is None else source
        discriminator = cast(nn.Module, model.discriminator)
        domains = discriminator(reverse_gradient(torch.cat([source, target]), reversal_strength(progress)))
        return label_loss + self.weight * domain_loss(domains.squeeze(1), len(source))


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * grads[0], None


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    """Reverse the gradient: the identity forwards; backwards the gradient times `-strength` (section 4.2)."""
    out: Tensor = _ReverseGradient.apply(x, strength)
    return out


def reversal_strength(progress: float, gamma: float = 10.0) -> float:
    """Strength that rises from 0 to 1: 2 / (1 + exp(-gamma p)) - 1 (section 5.2)."""
    return 2.0 / (1.0 + math.exp(-gamma * progress)) - 1.0


def domain_loss(logits: Tensor, sources: int) -> Tensor:
    """Binary cross-entropy of (N,) domain logits, the first `sources` of which are the source's: -> ()."""
    is_source = (torch.arange(len(logits), device=logits.device) < sources).to(logits.dtype)
    return nn.functional.binary_cross_entropy_with_logits(logits, is_source)
