"""Low-rank additions and trained biases against loralib 0.1.2, LoRA's own code."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import nn
from torch.func import functional_call

from bench.api import Backbone, Batch
from bench.methods.peft.bitfit import Bitfit
from bench.methods.peft.lora import Lora
from bench.networks.backbones.create import create_backbone
from tests.fidelity.compare import FEATURES, TASK, assert_alike, assert_near

Peer = Callable[[str], ModuleType]

Y = torch.arange(8) % 4


def additions(layer: nn.Module) -> list[nn.Parameter]:
    """The low-rank matrices A and B of a layer itself."""
    children = [child for name, child in layer.named_children() if "lora" in name]
    return [parameter for child in children for parameter in child.parameters()]


def test_lora_of_a_linear_layer(peer: Peer) -> None:
    method, layer = Lora(rank=2, alpha=6.0), nn.Linear(5, FEATURES)
    model = method.build(Backbone(layer, FEATURES, []), TASK)
    down, up = additions(layer)
    nn.init.normal_(up)
    x = torch.randn(8, 5).requires_grad_()

    theirs = peer("loralib").Linear(5, FEATURES, r=2, lora_alpha=6)
    parts = {"weight": layer.weight, "bias": layer.bias, "lora_A": down, "lora_B": up}
    loss = nn.functional.cross_entropy(model.head(functional_call(theirs, parts, (x,))), Y)
    assert_alike(method.loss(model, Batch(x, Y), 0.0), loss, {"x": x, **dict(model.named_parameters())})


def test_lora_of_a_convolution(peer: Peer) -> None:
    """Of one pixel: the low-rank matrix of a larger kernel is another one in theirs, (k out) x (k in)."""
    method, layer = Lora(rank=2, alpha=6.0), nn.Conv2d(5, FEATURES, 1, stride=2)
    behind = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = method.build(Backbone(nn.Sequential(layer, behind), FEATURES, []), TASK)
    down, up = additions(layer)
    nn.init.normal_(up)
    x = torch.randn(8, 5, 3, 3).requires_grad_()

    theirs = peer("loralib").Conv2d(5, FEATURES, kernel_size=1, stride=2, r=2, lora_alpha=6)
    parts = {"lora_A": down.flatten(1), "lora_B": up.flatten(1)}
    parts.update({"conv.weight": layer.weight, "conv.bias": layer.bias})
    loss = nn.functional.cross_entropy(model.head(behind(functional_call(theirs, parts, (x,)))), Y)
    assert_alike(method.loss(model, Batch(x, Y), 0.0), loss, {"x": x, **dict(model.named_parameters())})


@pytest.mark.parametrize("network", ["tf_efficientnet_lite0", "skresnet18", "test_vit"])
def test_additions_can_be_merged_into_the_weights(network: str) -> None:
    """W x + (alpha / r) B A x is (W + (alpha / r) B A) x: padded as in TensorFlow, dilated, and of tokens."""
    torch.set_default_dtype(torch.float32)  # As networks are made, whatever comes after.
    backbone = create_backbone(f"{network}.untrained", 64)
    torch.set_default_dtype(torch.float64)
    method, x = Lora(rank=2, alpha=6.0), torch.randn(2, 3, 64, 64)
    model = method.build(backbone, TASK).double().eval()
    layers = [module for module in model.backbone.modules() if len(additions(module)) == 2]
    assert len(layers) > 5
    with torch.no_grad():
        plain = model(x)
        for layer in layers:
            nn.init.normal_(additions(layer)[1], std=0.1)
        added = model(x)
        for layer in layers:
            down, up = additions(layer)
            layer.weight += 3.0 * (up.flatten(1) @ down.flatten(1)).view_as(layer.weight)
            up.zero_()
        assert not torch.allclose(plain, added)
        assert_near(added, model(x), "logits")


@pytest.mark.parametrize("network", ["test_resnet", "test_vit"])
def test_bitfit(peer: Peer, network: str) -> None:
    method = Bitfit()
    model = method.build(create_backbone(f"{network}.untrained", 64), TASK)
    trained = {id(p) for group in method.trainable(model) for p in group["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in trained}
    peer("loralib").mark_only_lora_as_trainable(model.backbone, bias="all")
    theirs = {name for name, p in model.backbone.named_parameters() if p.requires_grad}
    assert len(theirs) > 5
    assert names == {f"backbone.{name}" for name in theirs} | {"head.weight", "head.bias"}
