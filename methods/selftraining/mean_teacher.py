"""Mean teacher: a moving average of the network says what it should answer on another view of an image.

Tarvainen & Valpola 2017, "Mean teachers are better role models". https://arxiv.org/abs/1703.01780
French et al. 2018, "Self-ensembling for visual domain adaptation". https://arxiv.org/abs/1706.05208

As in French et al.: the student sees source and target in passes of their own and the teacher the target
alone, so that batch norm's statistics in the teacher, which predicts, are the target's; the squared
difference of probabilities, a mean over classes, counts where the teacher is sure (threshold 0.968, section
3.2), weight 3 and decay 0.99. So its passes are its own, whatever the recipe says of batch norm in joint
batches. As in the code of Tarvainen & Valpola the average is a plain mean until that
is the shorter memory. Unlike French et al.: no loss for balanced classes, crop and flip for both views, and
the optimiser of all methods here.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from bench.api import Access, Backbone, Batch, GradientMethod, Model, Task, tunable


class Teacher(Model):
    """Frozen network whose weights are a moving average of another's."""

    def __init__(self, student: Model) -> None:
        super().__init__(copy.deepcopy(student.backbone), copy.deepcopy(student.head))
        self.register_buffer("steps", torch.zeros(()))
        self.requires_grad_(False)

    @torch.no_grad()
    def follow(self, student: Model, decay: float) -> None:
        """Move towards a student; its first steps count equally."""
        steps = cast(Tensor, self.steps).add_(1)
        share = (1 / (steps + 1)).clamp_min(1 - decay)
        for part, theirs in ((self.backbone, student.backbone), (self.head, student.head)):
            for mine, now in zip(part.parameters(), theirs.parameters(), strict=True):
                mine.lerp_(now, share)


class MeanTeacher(GradientMethod):
    """Source cross-entropy plus the distance of a student from its teacher's sure answers on the target."""

    reference = "timm 1.0.9+"
    access = Access.SOURCE_LABELS | Access.SOURCE_REPLAY | Access.TARGET_IMAGES | Access.TARGET_LABELS
    needs = Access.SOURCE_LABELS | Access.TARGET_IMAGES
    second_view = "weak"
    per_sample_loss = True
    control = {"weight": 0.0}
    bounds = {"decay": ">= 0, <= 1"}

    weight: float = tunable(3.0, 0.1, 100.0)
    """Trade-off between the label loss and consistency."""
    threshold: float = tunable(0.968, 0.5, 0.99, log=False)
    """Probability above which the teacher is sure."""
    decay: float = 0.99
    """Share of the teacher's weights that a step leaves."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Build the student, and the teacher as a copy of it."""
        model = super().build(backbone, task)
        model.teacher = Teacher(model)
        return model

    def replace_head(self, model: Model, task: Task) -> None:
        """Head for other classes, and a teacher that begins anew."""
        super().replace_head(model, task)
        model.teacher = Teacher(model)

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Label loss and consistency."""
        assert batch.target_x is not None
        assert batch.target_second is not None
        x, y = batch.known()
        label_loss = nn.functional.cross_entropy(model(x), y)
        with torch.no_grad():
            expected = cast(Teacher, model.teacher)(batch.target_x).float().softmax(1)
        distance = (model(batch.target_second).float().softmax(1) - expected).square().mean(1)
        return label_loss + self.weight * (distance * (expected.amax(1) > self.threshold)).mean()

    def after_step(self, model: Model, progress: float) -> None:
        """Let the teacher follow."""
        cast(Teacher, model.teacher).follow(model, self.decay)

    def predict(self, model: Model, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features of the teacher."""
        return super().predict(cast(Teacher, model.teacher), x)
