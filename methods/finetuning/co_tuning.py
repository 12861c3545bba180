"""Co-Tuning: the pretrained classifier learns on, from what the task's classes mean among its own.

You et al. 2020, "Co-Tuning for Transfer Learning", NeurIPS.
https://proceedings.neurips.cc/paper/2020/hash/c8067ad1937f728f51288b3eb986afaa-Abstract.html

As in the paper: cross-entropy of both classifiers, the pretrained one's against p(pretraining class | class)
(section 3.1), lambda 2.3 as in its authors' code. The category relationship is the direct one (section 3.2):
the mean of what the pretrained classifier says of a class's images, before training. Unlike it: the
temperature that calibrates that classifier is 1 unless it is set, since the images of the pretraining, on
which the paper finds it, are not there; the rate of the new classifier is that of the other layers.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import (
    Backbone,
    Batch,
    CellSkipped,
    GradientMethod,
    Model,
    StageItems,
    Task,
    pretrained_head,
    prototypes,
    tunable,
)


class CoTuning(GradientMethod):
    """Cross-entropy of the labels, and of the pretraining's classes that they translate to."""

    reference = "hand-computed case"
    per_sample_loss = True
    control = {"weight": 0.0}
    bounds = {"temperature": "> 0"}

    weight: float = tunable(2.3, 0.1, 10.0)
    """Trade-off between the two classifiers, lambda in the paper."""
    temperature: float = tunable(1.0, 0.5, 2.0)
    """Temperature that calibrates the pretrained classifier."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Build the network with the pretrained classifier beside its own."""
        model = super().build(backbone, task)
        try:
            model.pretrained_head = pretrained_head(backbone)
        except CellSkipped as reason:
            raise CellSkipped(f"co-tuning learns with the pretrained classifier, but {reason}") from None
        return model

    def begin(self, model: Model, items: StageItems, task: Task) -> None:
        """Learn the category relationship of the labelled images as the network sees them now."""
        model.eval()
        labelled = items.labelled
        with torch.no_grad():
            logits = cast(nn.Module, model.pretrained_head)(labelled.features(model))
        found = relationship(logits / self.temperature, labelled.y, len(task.classes))
        model.register_buffer("relationship", found, persistent=False)

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Both cross-entropies."""
        features = model.features(batch.x)
        theirs = cast(nn.Module, model.pretrained_head)(features)
        translated = cast(Tensor, model.relationship)[batch.y]
        label_loss = nn.functional.cross_entropy(model.head(features), batch.y)
        return label_loss + self.weight * nn.functional.cross_entropy(theirs, translated)


def relationship(logits: Tensor, y: Tensor, classes: int) -> Tensor:
    """Mean probabilities of logits (N, P) in each class of labels (N,): (classes, P)."""
    return prototypes(logits.softmax(1), y, classes)
