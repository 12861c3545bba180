"""Second-order MAML on a task batch: ours, and learn2learn's.

The four-layer network with 32 filters on 28 × 28 images, 5-way, 16 tasks, 5 inner steps, 75 queries a task.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench.api import Model, adapt, mean_gradient
from tests.speed.race.track import Row, in_turns

WAY, TASKS, STEPS, RATE, QUERIES = 5, 16, 5, 0.4, 15


def network() -> Model:
    """Conv, batch norm, ReLU, max-pool, four times; a linear layer (Vinyals et al. 2016)."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels in (1, 32, 32, 32):
        layers += [
            nn.Conv2d(channels, 32, 3, padding=1),
            nn.BatchNorm2d(32, track_running_stats=False),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    return Model(nn.Sequential(*layers, nn.Flatten()), nn.Linear(32, WAY))


def tasks(shots: int) -> list[tuple[Tensor, ...]]:
    """Support and queries of each task, images apart by class."""
    random = torch.Generator().manual_seed(1)
    found = []
    for _ in range(TASKS):
        means = torch.randn(WAY, 1, 28, 28, generator=random)
        y, query_y = torch.arange(WAY).repeat_interleave(shots), torch.arange(WAY).repeat_interleave(QUERIES)
        noise = torch.randn(len(y) + len(query_y), 1, 28, 28, generator=random)
        found.append((means[y] + noise[: len(y)], y, means[query_y] + noise[len(y) :], query_y))
    return found


def ours(model: Model, batch: list[tuple[Tensor, ...]]) -> list[Tensor]:
    """Mean gradient of the tasks, through the adaptation that our methods share."""
    return mean_gradient(model, adapted_loss, batch)[1]


def adapted_loss(model: nn.Module, task: tuple[Tensor, ...]) -> Tensor:
    """Cross-entropy of the queries after the inner steps."""
    x, y, query_x, query_y = task
    names = [name for name, _ in model.named_parameters() if not name.startswith("head.")]
    head = model.get_parameter("head.weight"), model.get_parameter("head.bias")
    fast = adapt(model, names, head, [(x, y)] * STEPS, RATE, second_order=True)
    return nn.functional.cross_entropy(functional_call(model, fast, (query_x,)), query_y)


def theirs(model: nn.Module, batch: list[tuple[Tensor, ...]]) -> list[Tensor]:
    """Mean gradient of the tasks, as learn2learn's examples compute it."""
    import learn2learn as l2l

    maml = l2l.algorithms.MAML(model, lr=RATE, first_order=False)
    maml.zero_grad()
    for x, y, query_x, query_y in batch:
        learner = maml.clone()
        for _ in range(STEPS):
            learner.adapt(nn.functional.cross_entropy(learner(x), y))
        nn.functional.cross_entropy(learner(query_x), query_y).backward()
    return [p.grad / len(batch) for p in model.parameters() if p.grad is not None]


def gap(mine: list[Tensor], reference: list[Tensor]) -> float:
    """Largest relative difference of a parameter's gradient.

    Biases before a normalisation have a gradient of rounding errors only, hence the floor.
    """
    largest = max(float(grad.norm()) for grad in reference)
    return max(
        float((a - b).norm()) / max(float(b.norm()), 1e-3 * largest)
        for a, b in zip(mine, reference, strict=True)
    )


def race(shots: int) -> Row:
    """Seconds of one task batch's gradient."""
    batch, model = tasks(shots), network()
    other = copy.deepcopy(model)
    exact = [tuple(t.double() if t.is_floating_point() else t for t in task) for task in batch]
    double = copy.deepcopy(model).double()
    mine, reference = ours(double, exact), theirs(double, exact)
    off = [gap(grads, reference) for grads in (ours(model, batch), theirs(other, batch))]
    times = in_turns(lambda: ours(model, batch), lambda: theirs(other, batch), 7)
    return Row(
        f"MAML, 5-way {shots}-shot, {TASKS} tasks, second order",
        *times,
        "learn2learn 0.2",
        f"gradients differ by at most {gap(mine, reference):.0e} relative in float64; "
        f"from those, float32 is off by {off[0]:.0e} (ours) and {off[1]:.0e} (theirs)",
    )
