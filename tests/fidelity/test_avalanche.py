"""Continual methods against avalanche-lib, whose plugins are given the same networks and items."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from bench.api import Backbone, Batch, GradientMethod, Labelled, Model, Task
from bench.methods.continual.ewc import Ewc
from bench.methods.continual.lwf import Lwf
from bench.methods.continual.replay import Replay
from tests.fidelity.compare import assert_alike, assert_near
from tests.support.items import stage_items

Peer = Callable[[str], ModuleType]
ITEMS, CLASSES = 8, 4


def task(place: int = 0) -> Task:
    return Task(f"task-{place + 1}", tuple("abcd"), ITEMS, seed=0, place=place)


def built(method: GradientMethod) -> Model:
    return method.build(Backbone(nn.Sequential(nn.Linear(5, 6), nn.Tanh()), 6, []), task())


def moved(model: Model) -> None:
    """As a task's training moves the weights."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))


def items(classes: int = CLASSES) -> Labelled:
    return Labelled(torch.randn(ITEMS, 5), torch.arange(ITEMS) % classes, torch.arange(ITEMS))


def cross_entropy(model: Model, x: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(x), y)


def leaves(model: Model) -> dict[str, Tensor]:
    return dict(model.named_parameters())


def strategy(model: Model, data: Labelled, place: int) -> Any:
    """What their plugins ask of a training loop, in a task of that place, items one by one."""
    return SimpleNamespace(
        model=model,
        device="cpu",
        optimizer=torch.optim.SGD(model.parameters(), 0.1),
        experience=SimpleNamespace(dataset=[(x, y, 0) for x, y in zip(data.x, data.y, strict=True)]),
        clock=SimpleNamespace(train_exp_counter=place),
        train_mb_size=1,
        _criterion=nn.CrossEntropyLoss(),
        loss=cross_entropy(model, data.x, data.y),
    )


@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_ewc(peer: Peer, tasks: int) -> None:
    """Theirs has a penalty for each task, ours one for all, which differs by a constant.

    Their weight counts whole squares, that of the paper and ours half of them.
    """
    plugin = peer("avalanche.training.plugins").EWCPlugin(ewc_lambda=30.0 / 2)
    method = Ewc(strength=30.0)
    model = built(method)
    for place in range(tasks):
        moved(model)
        data = items()
        with stage_items(data) as kept:
            method.finish(model, kept, task(place))
        plugin.after_training_exp(strategy(model, data, place))

    def losses() -> tuple[Tensor, Tensor]:
        now = items()
        theirs = strategy(model, now, tasks)
        plugin.before_backward(theirs)
        return method.loss(model, Batch(now.x, now.y), 0.0), theirs.loss

    moved(model)
    ours, theirs = losses()
    constant = (ours - theirs).detach()
    if tasks == 1:
        assert_near(ours.detach(), theirs.detach(), "value")
    moved(model)
    ours, theirs = losses()
    assert_alike(ours - constant, theirs, leaves(model))


@pytest.mark.parametrize("classes", [2, 4])
def test_lwf(peer: Peer, classes: int) -> None:
    """Theirs is a divergence, ours a cross-entropy, which has the teacher's entropy more: a constant."""
    theirs = peer("avalanche.training").LearningWithoutForgetting(alpha=0.7, temperature=2.0)
    method = Lwf(weight=0.7, temperature=2.0)
    model = built(method)
    before = items(classes)
    with stage_items(before) as learnt:
        method.finish(model, learnt, task())
        method.begin(model, learnt, task(1))
    targets = SimpleNamespace(targets=SimpleNamespace(uniques=before.y.unique().tolist()))
    dataset = SimpleNamespace(targets_task_labels=SimpleNamespace(uniques=[0]), task_set={0: targets})
    theirs.post_adapt(SimpleNamespace(model=model), SimpleNamespace(dataset=dataset))
    moved(model)
    now = items()
    with torch.no_grad():
        said = cast(Any, model).teacher[0](now.x)[:, :classes]
    entropy = torch.distributions.Categorical(logits=said / 2.0).entropy().mean()
    distilled = theirs(now.x, model(now.x), model)
    assert distilled > 1e-4, "the network has moved"
    loss = method.loss(model, Batch(now.x, now.y), 0.0)
    assert_alike(loss - 0.7 * entropy, cross_entropy(model, now.x, now.y) + distilled, leaves(model))


def test_replay(peer: Peer) -> None:
    """A batch of the memory beside one of the task; both are drawn whole, so that chance decides nothing."""
    utils = peer("avalanche.benchmarks.utils")
    loader = peer("avalanche.benchmarks.utils.data_loader").ReplayDataLoader
    buffer = peer("avalanche.training.storage_policy").ReservoirSamplingBuffer(max_size=2 * ITEMS)
    method = Replay(capacity=2 * ITEMS)
    model = built(method)
    # Kept are numbers of single precision.
    before, now = (Labelled(each.x.float().double(), each.y, each.groups) for each in (items(), items()))

    def dataset(data: Labelled) -> Any:
        pairs = torch.utils.data.TensorDataset(data.x, data.y)
        return utils.make_avalanche_dataset(pairs)

    buffer.update_from_dataset(dataset(before))
    with stage_items(before) as kept:
        method.finish(model, kept, task())
    ((x, y, *_),) = loader(dataset(now), buffer.buffer, batch_size=ITEMS, batch_size_mem=ITEMS)
    assert len(x) == 2 * ITEMS
    assert_alike(method.loss(model, Batch(now.x, now.y), 0.0), cross_entropy(model, x, y), leaves(model))
