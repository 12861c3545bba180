"""Adapters lie behind stages, along the channels, whatever a stage is made of."""

from __future__ import annotations

import pytest
import torch

from bench.api import Task
from bench.method.registry import configure
from bench.networks.backbones.create import create_backbone

NETWORKS = ("test_efficientnet", "test_convnext", "test_vit", "swin_tiny_patch4_window7_224")


@pytest.mark.parametrize("network", NETWORKS)
def test_every_adapter_is_trained_and_begins_near_nothing(network: str) -> None:
    plain = create_backbone(f"{network}.untrained", 64).eval()
    torch.manual_seed(0)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = plain(x)
    model = configure("adapter", {}).build(plain, Task("source", ("a", "b"), 2, seed=0)).eval()
    torch.testing.assert_close(model.features(x), before, rtol=0.1, atol=0.1)
    model(x).square().sum().backward()
    adapters = {n: p for n, p in model.named_parameters() if ".adapter_" in n}
    assert len(adapters) == 2 * len(plain.widths)
    for name, parameter in adapters.items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
