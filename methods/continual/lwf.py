"""LwF: on the items of a new task, the network goes on to say what it said of them before.

Li & Hoiem 2016, "Learning without Forgetting". https://arxiv.org/abs/1606.09282

As in the paper: distillation with temperature 2 and weight 1 (section 3, equations 3 and 4) from the network
as the task before left it. Here one head is for all tasks, so the distillation is over the classes that were
learnt before, which in domain-incremental tasks are all of them. Unlike it: no first phase for the head
alone, and the optimiser and weight decay of all methods here.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from bench.api import Access, Backbone, Batch, Details, GradientMethod, Model, StageItems, Task, tunable


class Student(Model):
    """Network that knows which classes it has learnt, and the network that it was before."""

    teacher: list[Model]
    seen: Tensor

    def __init__(self, backbone: nn.Module, head: nn.Module, classes: int) -> None:
        super().__init__(backbone, head)
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.bool))
        # In a list, so that it is no part of what is trained and kept: `begin` makes it anew.
        self.teacher = []


class Lwf(GradientMethod):
    """Cross-entropy, and distillation from the network that the task before left."""

    reference = "avalanche-lib 0.6.0"
    access = Access.TARGET_LABELS
    needs = Access.TASKS
    control = "naive"
    bounds = {"temperature": "> 0"}

    weight: float = tunable(1.0, 0.1, 10.0)
    """Trade-off between the new task and what was said before."""
    temperature: float = 2.0
    """That both distributions are softened by."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Build the backbone and a linear head."""
        classes = len(task.classes)
        return Student(backbone, self.new_head(backbone.num_features, task), classes)

    def begin(self, model: Model, items: StageItems, task: Task) -> None:
        """Remember the network as it is, from the second task on."""
        student = cast(Student, model)
        student.teacher = []
        if task.place:
            student.teacher = [copy.deepcopy(student).eval().requires_grad_(False)]

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Cross-entropy and distillation over the classes of earlier tasks."""
        student, logits = cast(Student, model), model(batch.x)
        loss = nn.functional.cross_entropy(logits, batch.y)
        for teacher in student.teacher:
            with torch.no_grad():
                before = teacher(batch.x)[:, student.seen]
            loss = loss + self.weight * distillation(logits[:, student.seen], before, self.temperature)
        return loss

    def finish(self, model: Model, items: StageItems, task: Task) -> None:
        """Note the classes that were learnt."""
        cast(Student, model).seen[items.labelled.y.unique()] = True

    def report(self, model: Model) -> Details:
        """Bytes that are kept of earlier tasks."""
        kept = [tensor for teacher in cast(Student, model).teacher for tensor in teacher.parameters()]
        return {"bytes_kept": sum(tensor.nbytes for tensor in kept)}


def distillation(logits: Tensor, before: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of softened distributions: logits (B, C), and those of the teacher (B, C): -> ()."""
    return nn.functional.cross_entropy(logits / temperature, (before / temperature).softmax(1))
