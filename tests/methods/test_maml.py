"""MAML by hand where a hand suffices, and against learn2learn."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from bench.api import Batch, Episode, Labelled, Model, Task, prototype_head, prototypes
from bench.core.errors import CellSkipped
from bench.method.registry import configure, hyperparameters, method_summary
from bench.method.requirements import check_capability
from bench.methods.metalearning.anil import Anil
from bench.methods.metalearning.maml import Maml
from bench.methods.metalearning.maml_l2l import MamlLearn2Learn, import_learn2learn
from bench.methods.metalearning.reptile import Reptile
from bench.networks.backbones.base import Backbone
from bench.networks.backbones.create import create_backbone
from bench.networks.split import Prefix, suffix
from tests.support import items
from tests.support.cells import answer, tiny_cell

METHODS = [Maml, MamlLearn2Learn]
NET = "test_efficientnet.untrained"


def needs(method: type) -> None:
    """Skip without learn2learn, which `make test` installs."""
    if method is MamlLearn2Learn:
        pytest.importorskip("learn2learn", reason="not installed: make learn2learn")


# One step by hand --------------------------------------------------------------------------------------


class Times(nn.Module):
    """f = a · x, a scalar."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.a * x


def scalar_model(a: float) -> tuple[Model, Batch]:
    """Images 1 of class 0 and -1 of class 1, the queries the same: prototypes ± a.

    At scale 1/2 the head starts at weights ± w with w = a, and biases that are equal and stay so: the loss
    of support and query alike is log(1 + exp(-2 w a)).
    """
    model = Model(Times(a), nn.Linear(1, 2).double())
    x = torch.tensor([[1.0], [-1.0]], dtype=torch.float64).repeat(2, 1)
    return model, Batch(x, torch.tensor([0, 1, 0, 1]), episode=Episode(2, 1, 1))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("a", [1.0, 0.6])
@pytest.mark.parametrize("method", METHODS)
def test_adaptation_by_hand(method: type[Maml | MamlLearn2Learn], a: float) -> None:
    """The step starts at (a, w) and takes the partial derivatives there, though w was computed from a."""
    needs(method)
    model, batch = scalar_model(a)
    labelled = Labelled(batch.x[:2], batch.y[:2], torch.arange(2))
    adapting = method(scale=0.5, inner_rate=0.1, adapt_steps=1)
    details = items.fit(adapting, model, labelled, Task("target", ("p", "q"), 4, seed=0))
    assert details == {"steps": 1}
    q = sigmoid(-2 * a * a)
    w = a + 0.1 * q * a
    assert float(model.get_parameter("backbone.a").detach()) == pytest.approx(a + 0.1 * 2 * q * a)
    assert model.head.weight.flatten().tolist() == pytest.approx([w, -w])  # type: ignore[operator,union-attr]
    assert model.head.bias.tolist() == pytest.approx([-0.5 * a * a] * 2)  # type: ignore[operator,union-attr]


@pytest.mark.parametrize("second_order", [True, False])
@pytest.mark.parametrize("a", [1.0, 0.6])
@pytest.mark.parametrize("method", METHODS)
def test_outer_gradient_by_hand(method: type[Maml | MamlLearn2Learn], a: float, second_order: bool) -> None:
    """The chain rule through one step, a' = a + 2 r a q(a) and w' = a + r a q(a) with q(a) = s(-2 a²).

    First order takes da'/da and dw'/da for 1.
    """
    needs(method)
    model, batch = scalar_model(a)
    r = 0.1
    loss = method(scale=0.5, inner_rate=r, inner_steps=1, second_order=second_order).loss(model, batch, 0.0)
    loss.backward()

    q = sigmoid(-2 * a * a)
    a1, w1 = a + 2 * r * a * q, a + r * a * q
    assert float(loss.detach()) == pytest.approx(math.log(1 + math.exp(-2 * w1 * a1)))
    k = q - 4 * a * a * q * (1 - q)  # d(a q) / da
    da1, dw1 = (1 + 2 * r * k, 1 + r * k) if second_order else (1.0, 1.0)
    expected = -2 * sigmoid(-2 * w1 * a1) * (w1 * da1 + a1 * dw1)
    gradient = model.get_parameter("backbone.a").grad
    assert gradient is not None
    assert float(gradient) == pytest.approx(expected, rel=1e-12)


# Against learn2learn -----------------------------------------------------------------------------------


def episode_batch(shape: tuple[int, ...], dtype: torch.dtype) -> Batch:
    """A 4-way episode, 3 images to learn from and 2 to be judged by, classes apart but not separable."""
    episode = Episode(way=4, support=3, query=2)
    ways = torch.arange(4)
    y = torch.cat([ways.repeat_interleave(3), ways.repeat_interleave(2)])
    centres = torch.randn(4, *shape, dtype=dtype)
    return Batch(centres[y] + torch.randn(20, *shape, dtype=dtype), y, episode=episode)


def backbone_for(adapt_from: str, dtype: torch.dtype) -> tuple[Backbone, tuple[int, ...]]:
    """What lies behind the split point, and the shape of its input."""
    if adapt_from == "bottleneck":
        return Backbone(nn.Identity(), 12, []), (12,)
    whole = create_backbone(NET).train()
    with torch.no_grad():  # Batch norm with statistics that are not 0 and 1.
        whole(torch.randn(16, 3, 32, 32))
    whole.eval()
    if adapt_from == "all":
        return whole.to(dtype), (3, 32, 32)
    image = torch.zeros(1, 3, 32, 32)
    upper = suffix(whole, adapt_from, image)
    shape = tuple(Prefix(whole, adapt_from)(image).shape[1:])
    return upper.to(dtype), shape


def outer_gradients(method: Maml | MamlLearn2Learn, adapt_from: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Gradient of the loss by parameter; the network and the episode are the same on each call."""
    torch.manual_seed(5)
    backbone, shape = backbone_for(adapt_from, dtype)
    model = method.build(backbone, Task("source", tuple("abcdef"), 20, seed=0)).to(dtype)
    method.loss(model, episode_batch(shape, dtype), 0.0).backward()
    out = {name: p.grad for name, p in model.named_parameters() if not name.startswith("head.")}
    assert all(gradient is not None for gradient in out.values())
    return out  # type: ignore[return-value]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-8)])
@pytest.mark.parametrize("second_order", [True, False])
@pytest.mark.parametrize(
    ("adapt_from", "steps"),
    [("bottleneck", 1), ("bottleneck", 3), ("bottleneck", 7), ("blocks.3", 2), ("all", 2)],
)
def test_outer_gradients_are_learn2learns(
    adapt_from: str, steps: int, second_order: bool, dtype: torch.dtype, tolerance: float
) -> None:
    needs(MamlLearn2Learn)
    settings = {
        "width": 10,
        "inner_steps": steps,
        "inner_rate": 0.1,
        "scale": 0.1,
        "second_order": second_order,
    }
    ours = outer_gradients(Maml(**settings), adapt_from, dtype)
    theirs = outer_gradients(MamlLearn2Learn(**settings), adapt_from, dtype)
    assert ours.keys() == theirs.keys()
    largest = max(gradient.norm() for gradient in theirs.values())
    for name, gradient in theirs.items():
        # Biases before a normalisation have a gradient of rounding errors only, hence the floor.
        size = max(gradient.norm(), 1e-3 * largest)
        assert (ours[name] - gradient).norm() <= tolerance * size, name
    if (
        adapt_from == "bottleneck"
    ):  # What is compared would not be the same without the steps, or their order.
        other = outer_gradients(Maml(**{**settings, "second_order": not second_order}), adapt_from, dtype)
        assert any((other[n] - g).norm() > 1e-3 * g.norm() for n, g in theirs.items())


@pytest.mark.parametrize("second_order", [True, False])
def test_anils_outer_gradients_are_those_of_learn2learn_on_the_head(second_order: bool) -> None:
    """Their MAML of the head alone, over features that the outer loop learns."""
    needs(MamlLearn2Learn)
    method = Anil(width=10, inner_steps=3, inner_rate=0.1, scale=0.1, second_order=second_order)
    dtype = torch.float64
    ours = outer_gradients(method, "bottleneck", dtype)

    torch.manual_seed(5)
    backbone, shape = backbone_for("bottleneck", dtype)
    model = method.build(backbone, Task("source", tuple("abcdef"), 20, seed=0)).to(dtype)
    batch = episode_batch(shape, dtype)
    support, queries = model.features(batch.x[:12]), model.features(batch.x[12:])
    algorithms = import_learn2learn().algorithms
    learner = algorithms.MAML(model.head, lr=0.1, first_order=not second_order).clone()
    head = prototype_head(prototypes(support, batch.y[:12], 4), 0.1)
    learner.module._parameters.update(weight=head[0], bias=head[1])
    for _ in range(3):
        learner.adapt(nn.functional.cross_entropy(learner(support), batch.y[:12]))
    nn.functional.cross_entropy(learner(queries), batch.y[12:]).backward()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, model.get_parameter(name).grad, rtol=1e-8, atol=1e-10)


def test_anil_adapts_nothing_but_the_head() -> None:
    torch.manual_seed(0)
    method = Anil(width=6)
    task = Task("target", ("p", "q"), 4, seed=0)
    model = method.build(Backbone(nn.Identity(), 5, []), task)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, y = torch.randn(6, 5), torch.tensor([0, 0, 0, 1, 1, 1])
    items.fit(method, model, Labelled(x, y, torch.arange(6)), task)
    after = model.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "head.weight",
        "head.bias",
    }


def test_the_two_are_one_method() -> None:
    assert hyperparameters(configure("maml", {})) == hyperparameters(configure("maml-l2l", {}))
    assert Maml.needs == MamlLearn2Learn.needs
    assert Maml.access == MamlLearn2Learn.access
    assert Maml.views == MamlLearn2Learn.views


def test_a_whole_cell_agrees(tmp_path: Path) -> None:
    """Both see the same episodes, so that training differs by rounding only."""
    needs(MamlLearn2Learn)
    settings = {"width": 32, "second_order": False}
    records, predictions = zip(
        *(answer(tiny_cell(name, overrides=settings), tmp_path) for name in ("maml", "maml-l2l")), strict=True
    )
    assert [record.outcome.status for record in records] == ["done", "done"]
    ours, theirs = (evaluations["look0/target-test/logits"].astype(float) for evaluations in predictions)
    assert abs(ours - theirs).max() < 0.02 * abs(theirs).max()


# Where learn2learn is missing ---------------------------------------------------------------------------


def test_without_learn2learn_its_cells_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "learn2learn", None)
    assert "MAML" in method_summary("maml-l2l"), "it is listed all the same"
    cell = tiny_cell("maml-l2l")
    with pytest.raises(CellSkipped, match=r"maml-l2l needs learn2learn .*: make learn2learn"):
        check_capability("maml-l2l", configure("maml-l2l", {}), cell.scenario)
    check_capability("maml", configure("maml", {}), cell.scenario)
    unsupervised = tiny_cell("maml-l2l", shots=0)
    with pytest.raises(CellSkipped, match="needs labelled target images"):
        check_capability("maml-l2l", configure("maml-l2l", {}), unsupervised.scenario)


def test_attention_has_a_second_derivative(tmp_path: Path) -> None:
    """A vision transformer, all of it adapted; fused attention could be differentiated but once."""
    cell = tiny_cell("maml", backbone="test_vit.untrained", overrides={"adapt_from": "all"})
    record, _ = answer(cell, tmp_path)
    assert record.outcome.reason == ""
    assert record.outcome.status == "done"


# Reptile -----------------------------------------------------------------------------------------------


def test_reptile_by_hand() -> None:
    """The gradient is the sum of the inner steps' gradients, each on its half of the episode.

    Two steps of plain gradient descent from a head of the first half's prototypes, written out.
    """
    torch.manual_seed(0)
    method = Reptile(scale=0.5, inner_rate=0.1, inner_steps=2)
    model = Model(nn.Linear(3, 2).double(), nn.Linear(2, 2).double())
    batch = episode_batch((3,), torch.float64)
    support = batch.episode.way * batch.episode.support  # type: ignore[union-attr]
    halves = [(batch.x[:support], batch.y[:support]), (batch.x[support:], batch.y[support:])]
    method.loss(model, batch, 0.0).backward()

    net = cast(nn.Linear, model.backbone)
    means = prototypes(net(halves[0][0]), halves[0][1], 4)
    now = [p.detach().requires_grad_() for p in (net.weight, net.bias, *prototype_head(means, 0.5))]
    total = [torch.zeros_like(p) for p in now]
    for x, y in halves:
        logits = (x @ now[0].T + now[1]) @ now[2].T + now[3]
        slopes = torch.autograd.grad(nn.functional.cross_entropy(logits, y), now)
        total = [t + slope for t, slope in zip(total, slopes, strict=True)]
        now = [(p - 0.1 * slope).detach().requires_grad_() for p, slope in zip(now, slopes, strict=True)]
    torch.testing.assert_close(net.weight.grad, total[0])
    torch.testing.assert_close(net.bias.grad, total[1])
    assert cast(nn.Linear, model.head).weight.grad is None, "each task makes its head anew"


def test_reptile_learns_to_adapt() -> None:
    """Queries of episodes that it did not see have a smaller loss after adaptation than before training."""
    torch.manual_seed(0)
    method = Reptile(scale=0.5, inner_rate=0.1)
    model = Model(nn.Linear(8, 4), nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(method.trainable(model), lr=0.01)

    def judged() -> float:
        torch.manual_seed(1)
        episodes = [informative_episode() for _ in range(20)]
        judge = Maml(scale=0.5, inner_rate=0.1, inner_steps=4, second_order=False)
        return sum(judge.loss(model, batch, 0.0).item() for batch in episodes) / 20

    before = judged()
    torch.manual_seed(2)
    for _ in range(100):
        optimizer.zero_grad()
        method.loss(model, informative_episode(), 0.0).backward()
        optimizer.step()
    assert judged() < 0.8 * before


def informative_episode() -> Batch:
    """Classes differ along two axes of eight; the others are loud and say nothing."""
    episode = Episode(way=4, support=2, query=2)
    y = torch.arange(4).repeat_interleave(2).repeat(2)
    centres = torch.cat([2 * torch.randn(4, 2), torch.zeros(4, 6)], 1)
    noise = torch.randn(16, 8) * torch.tensor([0.3] * 2 + [3.0] * 6)
    return Batch(centres[y] + noise, y, episode=episode)
