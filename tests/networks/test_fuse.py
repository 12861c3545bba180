"""Batch norms in convolutions: the same numbers, and nothing folded that must not be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.engine.evaluation import evaluator
from bench.networks.backbones.create import create_backbone
from bench.networks.fuse import fuse_batch_norm
from tests.support.cells import steps_of, tiny_cell


def norms(net: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def lived_in(net: nn.Module) -> nn.Module:
    """With statistics, scales and shifts that are not those of a new network."""
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                assert tensor is not None
                tensor.data = torch.rand(tensor.shape, generator=generator) + 0.5
    return net


@pytest.mark.parametrize(
    "name", ["resnet18.untrained", "tf_efficientnet_lite0", "mobilenetv3_small_050.untrained"]
)
def test_a_network_computes_the_same_without_its_batch_norms(name: str) -> None:
    net = create_backbone(name)
    if name.endswith(".untrained"):
        lived_in(net)
    net.eval()
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    light = fuse_batch_norm(net, lambda network: network(images[:1]))
    assert norms(light) < norms(net)
    with torch.inference_mode():
        expected = net(images)
        torch.testing.assert_close(
            light(images), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())
        )


class Backwards(nn.Module):
    """Registered in another order than it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), lived_in(nn.BatchNorm2d(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(torch.relu(self.norm(x)))


def test_activations_are_in_place_and_images_stay_as_they_are() -> None:
    net = create_backbone("tf_efficientnet_lite0").eval()
    image = torch.rand(1, 3, 64, 64)
    kept = image.clone()
    light = fuse_batch_norm(net, lambda network: network(image))
    assert {act.inplace for act in light.modules() if isinstance(act, nn.ReLU6)} == {True}
    assert {act.inplace for act in net.modules() if isinstance(act, nn.ReLU6)} == {False}
    torch.testing.assert_close(image, kept, rtol=0, atol=0)


def test_what_runs_in_another_order_is_left_alone() -> None:
    net = Backwards().eval()
    image = torch.rand(1, 3, 8, 8)
    light = fuse_batch_norm(net, lambda network: network(image))
    assert light is net
    assert norms(light) == 1
    torch.testing.assert_close(light(image), net(image))


def test_what_is_registered_twice_is_one_module_still() -> None:
    conv, norm = nn.Conv2d(3, 3, 1), lived_in(nn.BatchNorm2d(3))
    net = nn.Sequential(nn.Sequential(conv, norm), nn.Sequential(), nn.Sequential(conv, norm)).eval()
    image = torch.rand(1, 3, 8, 8)
    light = fuse_batch_norm(net, lambda network: network(image))
    torch.testing.assert_close(light(image), net(image), rtol=1e-3, atol=1e-3)
    assert norms(net) == 1


def test_the_network_itself_stays_as_it_was() -> None:
    net = lived_in(create_backbone("resnet18.untrained")).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    fuse_batch_norm(net, lambda network: network(torch.rand(1, 3, 64, 64)))
    assert not net.training
    assert norms(net) == 20
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("method", ["full-finetune", "dann", "nas-lite"])
def test_looks_at_many_images_say_the_same(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, light = [], []

    def watched(net: nn.Module, answer: Callable[[nn.Module], torch.Tensor]) -> nn.Module:
        asked.append(net)
        light.append(fuse_batch_norm(net, answer))
        return light[-1]

    monkeypatch.setattr(evaluator, "fuse_batch_norm", watched)
    answers = []
    for few in (0, 10**9):
        monkeypatch.setattr(evaluator, "FEW", few)
        answers.append(steps_of(tiny_cell(method=method, shots=0), tmp_path / str(few)).run())
    assert asked
    assert all(norms(net) < norms(plain) for net, plain in zip(light, asked, strict=True))
    for name, array in answers[1].items():
        np.testing.assert_allclose(answers[0][name], array, rtol=5e-3, atol=5e-3, err_msg=name)
