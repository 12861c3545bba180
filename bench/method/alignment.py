"""Methods that align source and target: a label loss, and a term that makes both domains alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from bench.method.base import Control, GradientMethod, Model, tunable
from bench.method.batch import Access, Batch, Task
from bench.method.maths.adversarial import discriminator, domain_loss, reversal_strength, reverse_gradient
from bench.networks.backbones import Backbone


@dataclass
class Side:
    """One domain in a joint batch: features (B, D), and labels (B,) where they are of the head's classes."""

    head: nn.Module
    features: Tensor
    y: Tensor | None = None

    @cached_property
    def logits(self) -> Tensor:
        """Logits (B, classes)."""
        out: Tensor = self.head(self.features)
        return out

    @cached_property
    def probabilities(self) -> Tensor:
        """Predicted probabilities (B, classes)."""
        return self.logits.softmax(1)


class AlignmentMethod(GradientMethod):
    """Cross-entropy on all labelled items, plus `weight` times what `align` says of source and target.

    One forward pass takes the labelled, the replayed and the unlabelled items together, so batch norm sees a
    mixture. In the source stage the labelled items are the source's side; in the target stage, the replayed.
    What lies behind the backbone is computed in single precision, whatever the stage's.
    """

    access: ClassVar[Access] = (
        Access.SOURCE_LABELS | Access.SOURCE_REPLAY | Access.TARGET_IMAGES | Access.TARGET_LABELS
    )
    needs: ClassVar[Access] = Access.SOURCE_LABELS | Access.TARGET_IMAGES
    control: ClassVar[Control] = {"weight": 0.0}

    weight: float = tunable(1.0, 0.01, 3.0)
    """Trade-off between the label loss and the alignment."""

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """Scalar term that falls as source and target become alike."""
        raise NotImplementedError(f"{type(self).__name__} has no align()")

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Label loss on all labelled items, and the alignment of source with unlabelled target items.

        Where the target has other classes than the source, replayed source items have no label loss. They
        align, by their features and by what the new head says of them.
        """
        assert batch.target_x is not None
        source_x = batch.x[:0] if batch.source_x is None else batch.source_x
        sizes = [len(batch.x), len(source_x), len(batch.target_x)]
        features = model.features(torch.cat([batch.x, source_x, batch.target_x]))
        # Differences of two domains' distances, covariances and spectra are lost in half precision, and there
        # is no singular value decomposition in it.
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        with torch.autocast(features.device.type, enabled=False):
            return self._behind(model, batch, features.split(sizes), progress)

    def _behind(self, model: Model, batch: Batch, parts: Sequence[Tensor], progress: float) -> Tensor:
        labelled, replayed, target = (Side(model.head, part) for part in parts)
        labelled.y, replayed.y = batch.y, batch.source_y
        logits, y = labelled.logits, batch.y
        if batch.source_y is not None:
            logits, y = torch.cat([logits, replayed.logits]), torch.cat([y, batch.source_y])
        label_loss = nn.functional.cross_entropy(logits, y)
        source = labelled if batch.source_x is None else replayed
        return label_loss + self.weight * self.align(model, source, target, progress)


class AdversarialMethod(AlignmentMethod):
    """Alignment by a discriminator that is trained to tell domains, behind a reversed gradient.

    Ganin et al. 2016, https://arxiv.org/abs/1505.07818: gradient reversal (section 4.2), the schedules of
    the reversal and of the learning rate (section 5.2), a discriminator with two hidden layers. AdamW in
    its AMSGrad variant (Reddi et al. 2018, https://arxiv.org/abs/1904.09237): plain Adam keeps its steps as
    large as ever when the label loss fades, and they become the discriminator's.
    """

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

    def optimizer(self, model: Model, task: Task) -> torch.optim.Optimizer:
        """AdamW with AMSGrad."""
        groups = self.trainable(model)
        return torch.optim.AdamW(groups, lr=self.learning_rate, amsgrad=True, fused=True)

    def schedule(self, progress: float) -> float:
        """Learning-rate factor (1 + 10 p)^-0.75, after a short warm-up."""
        rise = min(1.0, progress / self.warmup) if self.warmup > 0 else 1.0
        return float(max(rise, 0.01) * (1 + 10 * progress) ** -0.75)

    def domain_logits(self, model: Model, inputs: Tensor, progress: float) -> Tensor:
        """Logits (N,) of being the source's, of inputs (N, ...) whose gradient is reversed."""
        reversed_inputs = reverse_gradient(inputs, reversal_strength(progress))
        out: Tensor = cast(nn.Module, model.discriminator)(reversed_inputs)
        return out.squeeze(1)

    def align(self, model: Model, source: Side, target: Side, progress: float) -> Tensor:
        """Loss of the discriminator on the features."""
        features = torch.cat([source.features, target.features])
        return domain_loss(self.domain_logits(model, features, progress), len(source.features))
