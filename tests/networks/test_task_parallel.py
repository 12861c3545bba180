"""The mean gradient of tasks, whoever computes it."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from bench.api import UserError, mean_gradient
from bench.networks import second_order
from tests.speed.race import maml


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    assert torch.get_num_threads() == request.param, "a batch leaves it as it was"
    torch.set_num_threads(before)


def square(net: nn.Module, task: float) -> Tensor:
    weight = net.get_parameter("weight")
    return (weight * task).square().sum()


def test_by_hand(threads: int) -> None:
    """Of (w t)² with t = 1, 2, 3: the mean is 14/3 w², its derivative 28/3 w, and nothing by the bias."""
    net = nn.Linear(1, 1)
    with torch.no_grad():
        net.weight.fill_(0.5)
    loss, (by_weight, by_bias) = mean_gradient(net, square, [1.0, 2.0, 3.0])
    assert float(loss) == pytest.approx(14 / 12)
    assert float(by_weight) == pytest.approx(14 / 3)
    assert float(by_bias) == 0
    assert net.weight.grad is None


def few(dtype: torch.dtype) -> list[tuple[Tensor, ...]]:
    """Two one-shot tasks with three queries a class."""
    return [(x.to(dtype), y, q.to(dtype)[::5], t[::5]) for x, y, q, t in maml.tasks(1)[:2]]


@pytest.mark.parametrize("worth", [0, 100_000])
def test_gradients_are_learn2learns(threads: int, worth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Second order, five steps, through all four layers of the network."""
    pytest.importorskip("learn2learn", reason="not installed: make learn2learn")
    monkeypatch.setattr(second_order, "WORTH", worth)
    net, tasks = maml.network().double(), few(torch.float64)
    assert maml.gap(maml.ours(net, tasks), maml.theirs(copy.deepcopy(net), tasks)) < 1e-8


def test_numbers_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_order, "WORTH", 0)
    net, tasks = maml.network(), few(torch.float32)
    before, found = torch.get_num_threads(), []
    for count in (1, 2, 3, 2):
        torch.set_num_threads(count)
        found.append(maml.ours(net, tasks))
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_running_statistics_stay(threads: int) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    before = copy.deepcopy(net.state_dict())
    mean_gradient(net, lambda twin, x: twin(x).square().mean(), list(torch.randn(4, 3, 1, 6, 6)))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_autocast_reaches_the_tasks(threads: int) -> None:
    seen = []

    def loss(net: nn.Module, x: Tensor) -> Tensor:
        out = net(x)
        seen.append(out.dtype)
        return out.float().sum()

    with torch.autocast("cpu", torch.bfloat16):
        mean_gradient(nn.Linear(2, 2), loss, list(torch.randn(3, 4, 2)))
    assert seen == [torch.bfloat16] * 3


def test_random_numbers_have_no_order_side_by_side(threads: int) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    tasks = list(torch.randn(3, 4, 2))

    def loss(twin: nn.Module, x: Tensor) -> Tensor:
        return twin(x).sum()

    if threads == 1:
        mean_gradient(net, loss, tasks)
    else:
        with pytest.raises(UserError, match="cannot draw random numbers"):
            mean_gradient(net, loss, tasks)


def test_a_tasks_error_is_raised(threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        mean_gradient(nn.Linear(1, 1), lambda net, task: square(net, 1 / task), [1.0, 0.0])
