"""Batch norms in convolutions: the same numbers, and nothing folded that must not be."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.backbones import create_backbone
from bench.fold import folded


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
    light = folded(net, images[:1])
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


def test_what_runs_in_another_order_is_left_alone() -> None:
    net = Backwards().eval()
    image = torch.rand(1, 3, 8, 8)
    light = folded(net, image)
    assert norms(light) == 1
    torch.testing.assert_close(light(image), net(image))


def test_the_network_itself_stays_as_it_was() -> None:
    net = create_backbone("resnet18.untrained").train()
    folded(net, torch.rand(1, 3, 64, 64))
    assert net.training
    assert norms(net) == 20
