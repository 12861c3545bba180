"""Methods that align source and target: a label loss, and a term that makes both domains alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from bench.method.base import GradientMethod, Model, tunable
from bench.method.batch import Access, Batch, Task
from bench.method.maths.adversarial import discriminator, domain_loss, reversal_strength, reverse_gradient
from bench.networks.backbones.base import Backbone
from bench.spec.cell import Control


@dataclass
class Side:
    """One domain in a joint batch: features (B, D), and labels (B,) where they are of the head's classes.

    `second` is the second view of the same images, on the target's side of a method that asks for one.
    """

    head: nn.Module
    features: Tensor
    y: Tensor | None = None
    second: Side | None = None

    @cached_property
    def logits(self) -> Tensor:
        """Logits (B, classes)."""
        out: Tensor = self.head(self.features)
        return out

    @cached_property
    def risk(self) -> Tensor:
        """Mean cross-entropy of its labels: -> ()."""
        assert self.y is not None, "a side without labels has no risk"
        return nn.functional.cross_entropy(self.logits, self.y)

    @cached_property
    def probabilities(self) -> Tensor:
        """Predicted probabilities (B, classes)."""
        return self.logits.softmax(1)


class AlignmentMethod(GradientMethod):
    """Cross-entropy on all labelled items, plus `weight` times what `align` says of source and target.

    One forward pass takes the labelled, the replayed and the unlabelled items together, the latter in both
    views if there are two, so batch norm sees a mixture, unless the recipe has a pass for each domain. In the
    source stage the labelled items are the source's side; in the target stage, the replayed. What lies behind
    the backbone is computed in single precision, whatever the stage's.
    """

    access: ClassVar[Access] = (
        Access.SOURCE_LABELS | Access.SOURCE_REPLAY | Access.TARGET_IMAGES | Access.TARGET_LABELS
    )
    needs: ClassVar[Access] = Access.SOURCE_LABELS | Access.TARGET_IMAGES
    control: ClassVar[Control | None] = {"weight": 0.0}

    weight: float = tunable(1.0, 0.01, 3.0)
    """Trade-off between the label loss and the alignment."""

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """Scalar term that falls as source and target become alike."""
        raise NotImplementedError(f"{type(self).__name__} has no align()")

    def label_loss(self, model: Model, logits: Tensor, y: Tensor) -> Tensor:
        """Loss of logits (N, C) of items with labels (N,): cross-entropy."""
        return nn.functional.cross_entropy(logits, y)

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Label loss on all labelled items, and the alignment of source with unlabelled target items.

        Where the target has other classes than the source, replayed source items have no label loss. They
        align, by their features and by what the new head says of them.
        """
        assert batch.target_x is not None
        streams = (batch.x, batch.source_x, batch.target_x, batch.target_second)
        views = [batch.x[:0] if x is None else x for x in streams]
        parts = model.joint(views, (*batch.sides, batch.sides[-1]))
        # Differences of two domains' distances, covariances and spectra are lost in half precision, and there
        # is no singular value decomposition in it.
        parts = [part.to(torch.promote_types(part.dtype, torch.float32)) for part in parts]
        with torch.autocast(batch.x.device.type, enabled=False):
            return self._behind(model, batch, parts, progress)

    def _behind(self, model: Model, batch: Batch, parts: Sequence[Tensor], progress: float) -> Tensor:
        labelled, replayed, target, second = (Side(model.head, part) for part in parts)
        labelled.y, replayed.y = batch.y, batch.source_y
        target.second = None if batch.target_second is None else second
        logits, y = labelled.logits, batch.y
        if batch.source_y is not None:
            logits, y = torch.cat([logits, replayed.logits]), torch.cat([y, batch.source_y])
        label_loss = self.label_loss(model, logits, y)
        source = labelled if batch.source_x is None else replayed
        return label_loss + self.weight * self.align(model, source, target, progress)


class AdversarialMethod(AlignmentMethod):
    """Alignment by a discriminator that is trained to tell domains, behind a reversed gradient.

    Ganin et al. 2016, https://arxiv.org/abs/1505.07818: gradient reversal (section 4.2) and its schedule
    (section 5.2), a discriminator with two hidden layers. Optimiser and learning rates are those of all
    methods here.
    """

    bounds = {"hidden": ">= 1"}

    hidden: int = 1024
    """Width of the discriminator."""

    def domain_inputs(self, num_features: int, task: Task) -> int:
        """Width of what the discriminator sees."""
        return num_features

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Build the backbone, a linear head, and the domain discriminator."""
        model = super().build(backbone, task)
        model.discriminator = discriminator(self.domain_inputs(backbone.num_features, task), self.hidden)
        return model

    def domain_logits(self, model: Model, inputs: Tensor, progress: float) -> Tensor:
        """Logits (N,) of being the source's, of inputs (N, ...) whose gradient is reversed."""
        reversed_inputs = reverse_gradient(inputs, reversal_strength(progress))
        out: Tensor = cast(nn.Module, model.discriminator)(reversed_inputs)
        return out.squeeze(1)

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """Loss of the discriminator on the features."""
        features = torch.cat([source.features, target.features])
        return domain_loss(self.domain_logits(model, features, progress), len(source.features))
