"""Small networks of papers, untrained, under names of their own; `backbones` makes them known to timm."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

SIDE = 28


class GaninMnist(nn.Module):
    """Network for MNIST of Ganin et al. 2016, without its classifiers: (B, 3, S, S) -> (B, 100).

    https://arxiv.org/abs/1505.07818, figure 4a: convolutions of 32 and 48 filters of 5 × 5, each with max
    pooling by 2, two layers of 100. There the domain is told from what the convolutions say; here, as for
    every backbone, from its output. `batch_norm` puts a batch norm before each activation, as many
    implementations do and the paper does not.
    """

    num_features = 100

    def __init__(self, side: int, batch_norm: bool) -> None:
        super().__init__()
        self.stage1 = _convolution(3, 32, batch_norm)
        self.stage2 = _convolution(32, 48, batch_norm)
        inputs = 48 * (((side - 4) // 2 - 4) // 2) ** 2
        self.hidden = nn.Sequential(
            nn.Flatten(), *_layer(inputs, 100, batch_norm), *_layer(100, 100, batch_norm)
        )
        widths = {"stage1": 32, "stage2": 48, "hidden": 100}
        self.feature_info = [{"module": name, "num_chs": width} for name, width in widths.items()]

    def forward(self, x: Tensor) -> Tensor:
        """Features of images of the side that it was built for."""
        out: Tensor = self.hidden(self.stage2(self.stage1(x)))
        return out


def _convolution(channels: int, filters: int, batch_norm: bool) -> nn.Sequential:
    norm = [nn.BatchNorm2d(filters)] if batch_norm else []
    return nn.Sequential(nn.Conv2d(channels, filters, 5), *norm, nn.ReLU(), nn.MaxPool2d(2))


def _layer(inputs: int, outputs: int, batch_norm: bool) -> list[nn.Module]:
    norm = [nn.BatchNorm1d(outputs)] if batch_norm else []
    return [nn.Linear(inputs, outputs), *norm, nn.ReLU()]


def ganin_mnist(pretrained: bool = False, img_size: int = SIDE, **_: Any) -> nn.Module:
    """Make the network as in the paper."""
    return GaninMnist(img_size, batch_norm=False)


def ganin_mnist_bn(pretrained: bool = False, img_size: int = SIDE, **_: Any) -> nn.Module:
    """Make the network with batch norm."""
    return GaninMnist(img_size, batch_norm=True)


NETWORKS = (ganin_mnist, ganin_mnist_bn)
default_cfgs = {
    network.__name__: {
        "input_size": (3, SIDE, SIDE),
        "fixed_input_size": True,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "num_classes": 0,
    }
    for network in NETWORKS
}
"""Configurations by name, where timm looks for them."""
