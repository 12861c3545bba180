"""Methods that no package publishes, against small cases of their papers' equations, computed by hand."""

from __future__ import annotations

import math
from collections import OrderedDict
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from bench.api import POOLED, Backbone, Batch, GradientMethod, Labelled, Model, Side, Task
from bench.methods.alignment.osbp import Osbp, boundary_loss
from bench.methods.alignment.pada import Pada, class_weights
from bench.methods.finetuning.bss import Bss
from bench.methods.finetuning.full_finetune import FullFinetune
from bench.methods.finetuning.gradual_unfreeze import GradualUnfreeze
from bench.methods.finetuning.l2_sp import L2Sp
from bench.methods.finetuning.partial_finetune import PartialFinetune
from bench.methods.finetuning.scratch import Scratch
from bench.methods.finetuning.stochnorm import StochasticNormalization, Stochnorm
from bench.methods.finetuning.surgical import Surgical
from bench.methods.peft.adapter import Adapter
from bench.methods.peft.ssf import Ssf
from bench.methods.peft.vpt import Vpt
from bench.methods.search.nas_lite import SPACE, Member, NasLite, Supernet
from bench.methods.selftraining.pseudo_label import PseudoLabel
from bench.networks.backbones.create import create_backbone
from tests.support.items import stage_items

TASK = Task("source", ("a", "b"), 2, seed=0)
LOG3, LOG9 = math.log(3), math.log(9)


def numbers(rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def set_to(parameter: object, rows: object) -> None:
    with torch.no_grad():
        cast(Tensor, parameter).copy_(numbers(rows))


def built(method: GradientMethod, net: nn.Module, stages: list[str] | None = None) -> Model:
    """Network of two features whose logits are log 3 times the first one, and 0."""
    model = method.build(Backbone(net, 2, stages or [], dict.fromkeys(stages or [], 2)), TASK)
    set_to(model.head.weight, [[LOG3, 0.0], [0.0, 0.0]])
    set_to(model.head.bias, [0.0, 0.0])
    return model


def identity() -> nn.Linear:
    layer = nn.Linear(2, 2, bias=False)
    set_to(layer.weight, [[1.0, 0.0], [0.0, 1.0]])
    return layer


def assert_loss(loss: Tensor, value: float, gradients: list[tuple[object, object]]) -> None:
    """A loss has this value, and these gradients with respect to these tensors."""
    torch.testing.assert_close(loss.detach(), numbers(value))
    leaves = [cast(Tensor, leaf) for leaf, _ in gradients]
    found = torch.autograd.grad(loss, leaves)
    for mine, (_, by_hand) in zip(found, gradients, strict=True):
        torch.testing.assert_close(mine, numbers(by_hand))


def options(method: GradientMethod, model: Model, *names: str) -> dict[str, tuple[float, ...]]:
    """Options of the optimiser for each parameter that it moves."""
    of = {id(p): name for name, p in model.named_parameters()}
    groups = method.optimizer(model, TASK).param_groups
    return {of[id(p)]: tuple(group[name] for name in names) for group in groups for p in group["params"]}


# Fine-tuning -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", [FullFinetune(), Scratch(), PartialFinetune()], ids=lambda m: type(m).__name__
)
def test_cross_entropy(method: GradientMethod) -> None:
    """Features (1, 2) have logits (log 3, 0), probabilities 3/4 and 1/4, and the truth is the second class.

    The gradient by the logits is p - y = (3/4, -3/4): by the head, times the features; by the features,
    times the head's weights; by the layer below, that times x.
    """
    net = identity()
    model = built(method, net)
    batch = Batch(numbers([[1.0, 2.0]]), torch.tensor([1]))
    gradients = [
        (model.head.weight, [[3 / 4, 3 / 2], [-3 / 4, -3 / 2]]),
        (model.head.bias, [3 / 4, -3 / 4]),
        (net.weight, [[3 / 4 * LOG3 * 1.0, 3 / 4 * LOG3 * 2.0], [0.0, 0.0]]),
    ]
    assert_loss(method.loss(model, batch, 0.5), math.log(4), gradients)
    # All are trained, and weights but not biases decay.
    assert options(method, model, "weight_decay") == {
        "backbone.net.weight": (0.05,),
        "head.weight": (0.05,),
        "head.bias": (0.0,),
    }


def test_what_begins_pretrained_and_what_is_frozen() -> None:
    assert FullFinetune.pretrained
    assert not Scratch.pretrained
    backbone = Backbone(nn.Identity(), 2, ["low", "middle", "high"])
    assert FullFinetune().split_point(backbone) is None
    assert Scratch().split_point(backbone) is None
    # One stage is trained, or two, or none but the head.
    assert PartialFinetune().split_point(backbone) == "middle"
    assert PartialFinetune(unfreeze=2).split_point(backbone) == "low"
    assert PartialFinetune(unfreeze="head").split_point(backbone) == POOLED


def two_stages() -> nn.Module:
    return nn.Sequential(OrderedDict(low=nn.Linear(2, 2), high=nn.Linear(2, 2)))


def test_gradual_unfreeze() -> None:
    """Rates 0.1, 0.1 / 2.6 and 0.1 / 2.6² from the head down; the lowest joins in at half of the stage."""
    method = GradualUnfreeze(learning_rate=0.1)
    model = built(method, two_stages(), ["low", "high"])
    by_part = {
        "head": (0.1, 0.0),
        "backbone.net.high": (0.1 / 2.6, 0.25),
        "backbone.net.low": (0.1 / 6.76, 0.5),
    }
    found = options(method, model, "lr", "unfreeze_at")
    assert found.keys() == {f"{part}.{name}" for part in by_part for name in ("weight", "bias")}
    for name, (rate, moment) in found.items():
        assert (rate, moment) == pytest.approx(by_part[name.rpartition(".")[0]]), name


@pytest.mark.parametrize(("stage", "name"), [(0, "low"), (1, "high"), (-1, "high")])
def test_surgical(stage: int, name: str) -> None:
    """One stage and the head."""
    method = Surgical(stage=stage)
    model = built(method, two_stages(), ["low", "high"])
    assert options(method, model, "weight_decay") == {
        f"backbone.net.{name}.weight": (0.05,),
        "head.weight": (0.05,),
        f"backbone.net.{name}.bias": (0.0,),
        "head.bias": (0.0,),
    }


def test_l2_sp() -> None:
    """Equation 3: one weight is 2 from where it began, and the head's only weight is log 3.

    Features (1, 0), since the weight that moved meets a 0: the cross-entropy is log 4 as above.
    """
    method, net = L2Sp(alpha=0.3, beta=0.7), identity()
    model = built(method, net)
    batch = Batch(numbers([[1.0, 0.0]]), torch.tensor([1]))
    with stage_items(Labelled(batch.x, batch.y, torch.arange(1))) as items:
        method.begin(model, items, TASK)
    set_to(net.weight, [[1.0, 2.0], [0.0, 1.0]])
    value = math.log(4) + 0.3 / 2 * 2.0**2 + 0.7 / 2 * LOG3**2
    gradients = [
        (net.weight, [[3 / 4 * LOG3, 0.3 * 2.0], [0.0, 0.0]]),
        (model.head.weight, [[3 / 4 + 0.7 * LOG3, 0.0], [-3 / 4, 0.0]]),
        (model.head.bias, [3 / 4, -3 / 4]),
    ]
    assert_loss(method.loss(model, batch, 0.5), value, gradients)
    # The penalties take the place of weight decay.
    assert {decay for (decay,) in options(method, model, "weight_decay").values()} == {0.0}


@pytest.mark.parametrize(("smallest", "penalty", "slope"), [(1, 4.0, 0.0), (2, 4.0 + 9.0, 6.0)])
def test_bss(smallest: int, penalty: float, slope: float) -> None:
    """Equation 4: features (0, 3) and (2, 0) have singular values 3 and 2, and the gradient is 2 s u v'.

    The head sees no difference between the classes: log 2, without a gradient.
    """
    method = Bss(shrinkage=0.1, smallest=smallest)
    model = built(method, nn.Identity())
    set_to(model.head.weight, [[0.0, 0.0], [0.0, 0.0]])
    x = numbers([[0.0, 3.0], [2.0, 0.0]]).requires_grad_()
    loss = method.loss(model, Batch(x, torch.tensor([0, 1])), 0.5)
    assert_loss(loss, math.log(2) + 0.1 * penalty, [(x, [[0.0, 0.1 * slope], [0.1 * 4.0, 0.0]])])


@pytest.mark.parametrize(
    ("moving", "value", "slope"), [(1.0, math.log(4), 3 / 4 * LOG9 / 2 / 2), (0.0, math.log(10), 0.0)]
)
def test_stochnorm(moving: float, value: float, slope: float) -> None:
    """Items 1 and -1, whose mean is 0 and variance 1, where the moving variance is 4; logits (log 9 f, 0).

    By moving statistics f = ±1/2, probabilities of the truth 1/4, and the gradient is that of a mean of two,
    through a division by 2. By the batch's f = ±1 whatever the items, and probabilities 1/10.
    Either way the moving variance goes on towards the unbiased 2.
    """
    method, norm = Stochnorm(moving=moving), nn.BatchNorm1d(1, eps=1e-12)
    model = method.build(Backbone(norm, 1, []), TASK)
    set_to(model.head.weight, [[LOG9], [0.0]])
    set_to(model.head.bias, [0.0, 0.0])
    set_to(norm.running_var, [4.0])
    x = numbers([[1.0], [-1.0]]).requires_grad_()
    loss = method.loss(model.train(), Batch(x, torch.tensor([1, 0])), 0.5)
    assert_loss(loss, value, [(x, [[slope], [-slope]])])
    torch.testing.assert_close(norm.running_var, numbers([0.9 * 4.0 + 0.1 * 2.0]))


def test_stochnorm_draws_for_each_channel() -> None:
    norm = nn.BatchNorm1d(1000, eps=1e-12)
    norm.running_var.fill_(4.0)
    x = numbers([[1.0], [-1.0]]).expand(2, 1000)
    with StochasticNormalization(0.3):
        first, second = norm(x).round(decimals=6)
    assert torch.equal(first, -second)
    assert set(first.tolist()) == {0.5, 1.0}
    assert (first == 0.5).double().mean() == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("network", ["test_efficientnet", "test_resnet", "test_nfnet"])
def test_stochnorm_reaches_all_layers(network: str) -> None:
    """By moving statistics alone a network in training is what it is in evaluation."""
    net, x = create_backbone(f"{network}.untrained", 32), torch.randn(4, 3, 32, 32)
    evaluated = net.eval()(x)
    with StochasticNormalization(1.0):
        torch.testing.assert_close(net.train()(x), evaluated)


# Parameter-efficient fine-tuning -----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 2), (1, 2, 1, 1), (1, 1, 1, 2), (1, 1, 2)])
def test_adapter(shape: tuple[int, ...]) -> None:
    """h + U gelu(D h), h = (1, 0), D = (1, 0), U = (2, -1)': gelu(1) is Phi(1), its slope Phi(1) + phi(1)."""
    net = nn.Sequential(OrderedDict(low=nn.Identity(), high=nn.Flatten()))
    method = Adapter(reduction=2)
    model = method.build(Backbone(net, 2, ["low"], {"low": 2}), TASK)
    low = net.get_submodule("low")
    set_to(low.adapter_down, [[1.0, 0.0]])
    set_to(low.adapter_up, [[2.0], [-1.0]])
    normal, density = (1 + math.erf(1 / math.sqrt(2))) / 2, math.exp(-1 / 2) / math.sqrt(2 * math.pi)

    x = numbers([1.0, 0.0]).view(shape).requires_grad_()
    out = model.features(x)
    torch.testing.assert_close(out.detach(), numbers([[1 + 2 * normal, -normal]]))
    slope = normal + density
    gradients = [
        (x, numbers([1 + 2 * slope, 0.0]).view(shape).tolist()),
        (low.adapter_down, [[2 * slope, 0.0]]),
        (low.adapter_up, [[normal], [0.0]]),
    ]
    assert_loss(out[0, 0], 1 + 2 * normal, gradients)
    assert options(method, model).keys() == {
        "backbone.net.low.adapter_down",
        "backbone.net.low.adapter_up",
        "head.weight",
        "head.bias",
    }


def test_ssf() -> None:
    """Equation 3: gamma * y + beta of a layer's output y = (1, 2), which a convolution has in one pixel."""
    method = Ssf()
    for layer in (identity(), nn.Conv2d(2, 2, 1, bias=False)):
        set_to(layer.weight, torch.eye(2).view_as(layer.weight).tolist())
        model = built(method, nn.Sequential(layer, nn.Flatten()))
        assert (layer.ssf_scale - 1).abs().max() < 0.2
        assert layer.ssf_shift.abs().max() < 0.2
        set_to(layer.ssf_scale, [0.5, 3.0])
        set_to(layer.ssf_shift, [0.5, -1.0])
        x = numbers([1.0, 2.0]).view(1, 2, *[1] * (layer.weight.ndim - 2))
        torch.testing.assert_close(model.features(x).detach(), numbers([[0.5 * 1 + 0.5, 3 * 2 - 1.0]]))
        # Of the first feature, which is 1, alone: the logits are (log 3, 0).
        gradients = [(layer.ssf_scale, [3 / 4 * LOG3 * 1, 0.0]), (layer.ssf_shift, [3 / 4 * LOG3, 0.0])]
        assert_loss(method.loss(model, Batch(x, torch.tensor([1])), 0.5), math.log(4), gradients)
        trained = {"backbone.net.0.ssf_scale", "backbone.net.0.ssf_shift", "head.weight", "head.bias"}
        assert options(method, model).keys() == trained


class Tokens(nn.Module):
    """A transformer in miniature: a class token, which becomes the mean of all tokens."""

    global_pool, num_prefix_tokens, embed_dim = "token", 1, 2
    patch_embed = SimpleNamespace(patch_size=(1, 1))

    def __init__(self) -> None:
        super().__init__()
        self.norm_pre = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2, N) -> (B, 2)."""
        self.seen = self.norm_pre(torch.cat([torch.zeros(len(x), 1, 2), x.transpose(1, 2)], 1))
        return self.seen.mean(1)


def test_vpt() -> None:
    """Equation 4: [x, P, E], a class token 0, prompts (1, 0) and (3, 6), and one patch (1, 4): mean of 4.

    Features (5/4, 10/4) have logits (5/4 log 3, 0), so that p = 3^(5/4) / (1 + 3^(5/4)) of the first class.
    """
    method, net = Vpt(prompts=2), Tokens()
    model = built(method, net)
    bound = math.sqrt(6 / (3 * 1 + 2))
    drawn = Vpt(prompts=2000).build(Backbone(Tokens(), 2, []), TASK).backbone.net.norm_pre.prompts.abs().max()
    assert 0.99 * bound < drawn <= bound
    set_to(net.norm_pre.prompts, [[[1.0, 0.0], [3.0, 6.0]]])
    loss = method.loss(model, Batch(numbers([[[1.0], [4.0]]]), torch.tensor([1])), 0.5)
    assert net.seen.tolist() == [[[0.0, 0.0], [1.0, 0.0], [3.0, 6.0], [1.0, 4.0]]]
    p = 3**1.25 / (1 + 3**1.25)
    assert_loss(loss, -math.log(1 - p), [(net.norm_pre.prompts, [[[p * LOG3 / 4, 0.0]] * 2])])
    assert options(method, model).keys() == {"backbone.net.norm_pre.prompts", "head.weight", "head.bias"}


# Search ------------------------------------------------------------------------------------------------

LINEAR, COSINE = (SPACE.index(Member("top", False, 0, head)) for head in ("linear", "cosine"))


def supernet() -> Supernet:
    """Candidates with logits (log 3 x1, 0), and log 9 times the cosines with the two axes."""
    backbone = Backbone(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), 2, [])
    backbone.input_shape, backbone.channel_axis = (2, 1, 1), 1
    net = cast(Supernet, NasLite().build(backbone, TASK))
    net.keep([LINEAR, COSINE])
    linear, cosine = (net.head.of[f"top {name}"] for name in ("linear", "cosine"))
    set_to(linear.weight, [[LOG3, 0.0], [0.0, 0.0]])
    set_to(linear.bias, [0.0, 0.0])
    set_to(cosine.weight, [[5.0, 0.0], [0.0, 0.5]])
    set_to(cosine.scale, LOG9)
    return net


def test_nas_lite_trains_its_candidates_at_once() -> None:
    """Features (1, 0): logits (log 3, 0) and (log 9, 0), so that the truth has 1/4 and 1/10."""
    net = supernet()
    linear, cosine = (net.head.of[f"top {name}"] for name in ("linear", "cosine"))
    batch = Batch(numbers([1.0, 0.0]).view(1, 2, 1, 1), torch.tensor([1]))
    loss = NasLite().loss(net, batch, 0.1)
    gradients = [(linear.weight, [[3 / 8, 0.0], [-3 / 8, 0.0]]), (cosine.scale, 9 / 10 / 2)]
    assert_loss(loss, (math.log(4) + math.log(10)) / 2, gradients)


@pytest.mark.parametrize(("y", "left"), [(0, COSINE), (1, LINEAR)])
def test_nas_lite_halves(y: int, left: int) -> None:
    """Both are right, and the surer one has the smaller loss; or both are wrong, and the other one has."""
    net, method = supernet(), NasLite(candidates=2)
    assert method.validate_at(net) == (method.search,)
    x = numbers([1.0, 0.0]).view(1, 2, 1, 1).expand(3, 2, 1, 1)
    method.on_validation(net, Labelled(x, torch.full((3,), y), torch.arange(3)), 0.3)
    assert net.candidates() == [left]


# Self-training -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("progress", "rise"), [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (1.0, 1.0)])
def test_pseudo_label(progress: float, rise: float) -> None:
    """Equations 15 and 16 of items with 0.99 and 0.8 for their classes: the second is left out."""
    logits = numbers([[math.log(99), 0.0], [0.0, math.log(4)]]).requires_grad_()
    target, source = Side(nn.Identity(), logits), Side(nn.Identity(), torch.zeros(1, 2))
    model = Model(nn.Identity(), nn.Identity())
    loss = PseudoLabel(threshold=0.95).align(model, source, target, progress)
    gradients = [(logits, [[-0.01 * rise / 2, 0.01 * rise / 2], [0.0, 0.0]])]
    assert_loss(loss, rise * -math.log(0.99) / 2, gradients)


# Partial and open targets ------------------------------------------------------------------------------


def test_pada() -> None:
    """The first class weighs 1, the second 3/5.

    Target logits (log 3, 0) and (0, 0) have mean probabilities (5/8, 3/8). Source items of both classes have
    cross-entropies log 4/3 and log 4: their mean, weighted, is (log 4/3 + 3/5 log 4) / (8/5).
    """
    logits = numbers([[LOG3, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(class_weights(logits), numbers([1.0, 3 / 5]))
    method = Pada(hidden=2)
    model = method.build(Backbone(nn.Identity(), 2, []), TASK)
    set_to(model.class_weights, [1.0, 3 / 5])
    source = numbers([[LOG3, 0.0], [LOG3, 0.0]])
    loss = method.label_loss(model, source, torch.tensor([0, 1]))
    torch.testing.assert_close(loss, numbers((math.log(4 / 3) + 3 / 5 * math.log(4)) / (8 / 5)))
    # The discriminator says 0 of everything, log 2 of each; source items weigh 5/4 and 3/4, the target's 1.
    for parameter in model.discriminator.parameters():
        set_to(parameter, torch.zeros_like(parameter).tolist())
    sides = Side(nn.Identity(), source, torch.tensor([0, 1])), Side(nn.Identity(), source)
    torch.testing.assert_close(method.align(model, *sides, 0.5).detach(), numbers(math.log(2)))


def test_pada_weighs_source_items_by_their_class() -> None:
    """A discriminator that says log 3 of the first of two source items and 0 of all else.

    Losses are log 4/3 and log 2 of the source's, log 2 of both of the target's; weights 5/4, 3/4, 1 and 1.
    """
    method = Pada(hidden=2)
    model = method.build(Backbone(nn.Identity(), 1, []), TASK)
    set_to(model.class_weights, [1.0, 3 / 5])
    model.discriminator = nn.Linear(1, 1, bias=False)
    set_to(model.discriminator.weight, [[LOG3]])
    source = Side(nn.Identity(), numbers([[1.0], [0.0]]), torch.tensor([0, 1]))
    loss = method.align(model, source, Side(nn.Identity(), numbers([[0.0], [0.0]])), 0.5)
    by_hand = (5 / 4 * math.log(4 / 3) + (3 / 4 + 2) * math.log(2)) / 4
    torch.testing.assert_close(loss.detach(), numbers(by_hand))


def test_osbp() -> None:
    """Logits (0, 0, log 6): the unknown class has 6/8; with a boundary of a half the loss is log 4 / √3.

    -(log 3/4 + log 1/4) / 2. The gradient by the odds is 3/4 - 1/2; by the features it comes reversed.
    """
    logits = numbers([[0.0, 0.0, math.log(6)]])
    torch.testing.assert_close(boundary_loss(logits, 0.5), numbers(math.log(4 / math.sqrt(3))))
    method = Osbp()
    model = method.build(Backbone(nn.Identity(), 2, []), TASK)
    assert model.head.out_features == 3, "a class more than the source has"
    set_to(model.head.weight, [[0.0, 0.0], [0.0, 0.0], [math.log(6), 0.0]])
    set_to(model.head.bias, [0.0, 0.0, 0.0])
    features = numbers([[1.0, 0.0]]).requires_grad_()
    loss = method.align(model, Side(model.head, features), Side(model.head, features), 0.5)
    gradients = [(model.head.bias, [-1 / 8, -1 / 8, 1 / 4]), (features, [[-math.log(6) / 4, 0.0]])]
    assert_loss(loss, math.log(4 / math.sqrt(3)), gradients)
