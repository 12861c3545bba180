"""FixMatch and mean teacher by hand, and on a target that they have to find the labels of."""

from __future__ import annotations

import math
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from bench.api import Backbone, Batch, GradientMethod, Model, Side, Task
from bench.methods.selftraining.fixmatch import Fixmatch
from bench.methods.selftraining.mean_teacher import MeanTeacher, Teacher

TASK = Task("source", ("a", "b"), 4, seed=0)


def logits(*first: float) -> Tensor:
    """Logits (B, 2) of these probabilities of the first class."""
    p = torch.tensor(first)
    return torch.stack([p.log(), (1 - p).log()], 1)


def test_fixmatch_by_hand() -> None:
    """Of three images the weak views of two are certain: of class a and b; the strong views say otherwise."""
    second = Side(nn.Identity(), logits(0.6, 0.5, 0.25).requires_grad_())
    target = Side(nn.Identity(), logits(0.96, 0.9, 0.01).requires_grad_(), second=second)
    loss = Fixmatch(threshold=0.95).align(Model(nn.Identity(), nn.Identity()), target, target, 0.0)
    assert loss.item() == pytest.approx(-(math.log(0.6) + math.log(0.75)) / 3)
    loss.backward()
    assert target.features.grad is None, "labels have no gradient"
    expected = torch.tensor([[-0.4, 0.4], [0.0, 0.0], [0.25, -0.25]]) / 3
    torch.testing.assert_close(second.features.grad, expected)


def test_second_views_join_the_pass() -> None:
    """One pass of all images: batch norm sees both views."""
    torch.manual_seed(0)
    backbone = nn.BatchNorm1d(2, affine=False)
    method = Fixmatch(threshold=0.5)
    model = method.build(Backbone(backbone, 2, []), TASK)
    x, weak, strong = (torch.randn(4, 2) + place for place in (0.0, 2.0, 5.0))
    y = torch.tensor([0, 1, 0, 1])
    loss = method.loss(model, Batch(x, y, target_x=weak, target_second=strong), 0.0)
    together = torch.cat([x, weak, strong])
    scaled = (together - together.mean(0)) / (together.var(0, correction=0) + backbone.eps).sqrt()
    known, guessed, learnt = model.head(scaled).split(4)
    torch.testing.assert_close(
        loss,
        nn.functional.cross_entropy(known, y) + nn.functional.cross_entropy(learnt, guessed.argmax(1)),
    )


def test_mean_teacher_by_hand() -> None:
    """Where the teacher is sure: the mean over classes of squared differences, (0.99 - 0.6)² here."""
    method = MeanTeacher(weight=3.0, threshold=0.968)
    model = method.build(Backbone(nn.Identity(), 2, []), TASK)
    with torch.no_grad():
        for head in (model.head, cast(Teacher, model.teacher).head):
            cast(nn.Linear, head).weight.copy_(torch.eye(2))
            cast(nn.Linear, head).bias.zero_()
    batch = Batch(logits(0.8), torch.tensor([0]), target_x=logits(0.99, 0.9), target_second=logits(0.6, 0.1))
    loss = method.loss(model, batch, 0.0)
    assert loss.item() == pytest.approx(-math.log(0.8) + 3 * (0.99 - 0.6) ** 2 / 2)
    loss.backward()
    assert all(p.grad is None for p in cast(Teacher, model.teacher).parameters())


def test_teacher_is_a_mean_then_a_moving_average() -> None:
    student = Model(nn.Identity(), nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        student.head.weight.fill_(1.0)  # type: ignore[operator,union-attr]
    teacher = Teacher(student)
    seen, weight = [1.0], cast(nn.Linear, teacher.head).weight
    for value in (4.0, 7.0, 2.0):
        with torch.no_grad():
            student.head.weight.fill_(value)  # type: ignore[operator,union-attr]
        teacher.follow(student, decay=0.7)
        seen.append(value)
        if len(seen) < 4:
            assert weight.item() == pytest.approx(sum(seen) / len(seen))
    assert weight.item() == pytest.approx(0.7 * 4.0 + 0.3 * 2.0), "a quarter would be less than 0.3"


def test_teacher_sees_the_target_alone() -> None:
    """Its statistics are the target's; the student's are of both domains."""
    torch.manual_seed(0)
    method = MeanTeacher()
    model = method.build(Backbone(nn.BatchNorm1d(2), 2, []), TASK).train()
    x, target = torch.randn(50, 2), torch.randn(50, 2) + 8
    batch = Batch(x, torch.zeros(50).long(), target_x=target, target_second=target)
    for _ in range(50):
        method.loss(model, batch, 0.0)
    mean = cast(Tensor, cast(Backbone, cast(Teacher, model.teacher).backbone).net.running_mean)
    torch.testing.assert_close(mean, target.mean(0), atol=0.1, rtol=0)
    assert (cast(Tensor, cast(Backbone, model.backbone).net.running_mean) < 7).all()


def test_other_classes_have_a_teacher_of_their_own() -> None:
    method = MeanTeacher()
    model = method.build(Backbone(nn.Identity(), 2, []), TASK)
    method.replace_head(model, Task("target", ("p", "q", "r"), 4, seed=0))
    found, features = method.predict(model, torch.randn(5, 2))
    assert found.shape == (5, 3)
    torch.testing.assert_close(found, model.head(features))


@pytest.mark.parametrize("method", [Fixmatch(threshold=0.8), MeanTeacher(threshold=0.8)])
def test_labels_are_found_where_views_agree(method: GradientMethod) -> None:
    """What the source teaches changes from view to view of the target; what all views share tells as well."""
    accuracies = [trained(method, weight) for weight in (0.0, method.weight)]  # type: ignore[attr-defined]
    assert accuracies[0] < 0.9
    assert accuracies[1] > 0.97


def trained(method: GradientMethod, weight: float) -> float:
    """Share of the target that is told right after training with this weight of the unlabelled images.

    The first axis tells the classes in the source, and in the target less well, where views differ in it; the
    second tells them in the target alone, by a wide gap that views share.
    """
    torch.manual_seed(0)
    method = type(method)(weight=weight, threshold=0.8)  # type: ignore[call-arg]
    model = method.build(Backbone(nn.Identity(), 2, []), TASK)
    for parameter in model.parameters():  # A line that begins at random could be sure and wrong.
        parameter.data.zero_()
    optimizer = torch.optim.AdamW(method.trainable(model), lr=0.05)
    y = torch.arange(200) % 2
    sign = (2.0 * y - 1)[:, None]
    source = sign * torch.tensor([2.0, 0.0]) + torch.randn(200, 2) * torch.tensor([0.5, 0.0])
    target = sign * torch.tensor([1.0, 4.0]) + torch.randn(200, 2) * torch.tensor([0.8, 0.3])
    for step in range(300):
        views = [target + torch.randn(200, 2) * torch.tensor([1.2, 0.3]) for _ in range(2)]
        loss = method.loss(model, Batch(source, y, target_x=views[0], target_second=views[1]), step / 300)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step(model, (step + 1) / 300)
    answers, _ = method.predict(model.eval(), target)
    return float((answers.argmax(1) == y).float().mean())
