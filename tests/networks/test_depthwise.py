"""The faster gradients of depthwise convolutions are those of torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.networks.depthwise import Depthwise, Quick, quick, weight_gradient


def images(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    x = torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))
    return x.contiguous(memory_format=torch.channels_last)


@settings(deadline=None)
@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_weight_gradient(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    if any(s + 2 * p < k for s, p, k in zip(size, padding, kernel, strict=True)):
        return
    x, weight = images(2, 3, *size, dtype=torch.float64), torch.randn(3, 1, *kernel, dtype=torch.float64)
    weight.requires_grad_()
    y = torch.conv2d(x, weight, None, stride, padding, 1, 3)
    grad = images(*y.shape, dtype=torch.float64)
    (expected,) = torch.autograd.grad(y, weight, grad)
    torch.testing.assert_close(weight_gradient(x, grad, kernel, stride, padding), expected)


@pytest.mark.parametrize("bias", [False, True])
def test_first_and_second_derivatives(bias: bool) -> None:
    x = images(2, 3, 4, 4, dtype=torch.float64).requires_grad_()
    weight = torch.randn(3, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    more = (torch.randn(3, dtype=torch.float64, requires_grad=True),) if bias else ()

    def out(x: Tensor, weight: Tensor, *bias: Tensor) -> Any:
        return Depthwise.apply(x, weight, bias[0] if bias else None, (2, 2), (2, 2))

    assert torch.autograd.gradcheck(out, (x, weight, *more))
    assert torch.autograd.gradgradcheck(out, (x, weight, *more))


class Counted(Quick):
    """Counts the convolutions that went another way."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = super().__torch_function__(func, types, args, kwargs)
        if func is torch.conv2d:
            self.count += type(out.grad_fn).__name__ == "DepthwiseBackward"
        return out


def gradients(net: nn.Module, x: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(net(x).square().sum(), [x, *net.parameters()]))


@pytest.mark.parametrize(
    ("layer", "size", "count"),
    [
        (nn.Conv2d(320, 320, 5, padding=2, groups=320), 4, 1),
        (nn.Conv2d(320, 320, 5, stride=2, padding=2, groups=320, bias=False), 4, 1),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), 2, 1),
        # Those that oneDNN is as fast at, and those that are none.
        (nn.Conv2d(8, 8, 5, padding=2, groups=8), 4, 0),
        (nn.Conv2d(320, 320, 3, padding=1, groups=320), 4, 0),
        (nn.Conv2d(320, 320, 5, padding=2, groups=320), 8, 0),
        (nn.Conv2d(8, 8, 3, padding=1), 2, 0),
        (nn.Conv2d(8, 16, 3, padding=1, groups=8), 2, 0),
        (nn.Conv2d(8, 8, 3, padding=1, groups=4), 2, 0),
        (nn.Conv2d(8, 8, 3, padding=2, groups=8, dilation=2), 2, 0),
        (nn.Conv2d(8, 8, 3, padding="same", groups=8), 2, 0),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8, padding_mode="reflect"), 2, 0),
    ],
)
def test_layers(layer: nn.Conv2d, size: int, count: int) -> None:
    layer = layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = images(32, layer.in_channels, size, size).requires_grad_()
    expected = gradients(layer, x)
    with Counted() as mode:
        found = gradients(layer, x)
    assert mode.count == count
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_nothing_changes_without_gradients_or_in_another_layout() -> None:
    layer = nn.Conv2d(8, 8, 3, padding=1, groups=8)
    with Counted() as mode:
        with torch.no_grad():
            layer(images(32, 8, 2, 2))
        layer(images(32, 8, 2, 2).contiguous())
        layer.requires_grad_(False)
        layer(images(32, 8, 2, 2))
    assert mode.count == 0


@pytest.mark.parametrize("groups", [1, 8])
def test_a_bias_that_is_trained_alone(groups: int) -> None:
    """The weight's gradient is not computed along with it."""
    layer = nn.Conv2d(8, 8, 3, padding=1, groups=groups)
    layer.weight.requires_grad_(False)
    x = images(4, 8, 5, 5).requires_grad_()
    expected, plain = torch.autograd.grad(layer(x).square().sum(), [x, layer.bias]), layer(x)
    with Quick():
        out = layer(x)
        found = torch.autograd.grad(out.square().sum(), [x, layer.bias])
    assert "Convolution" in type(plain.grad_fn).__name__
    assert "Add" in type(out.grad_fn).__name__
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_whole_network() -> None:
    from bench.networks.backbones.create import create_backbone

    net = create_backbone("tf_efficientnet_lite0").to(memory_format=torch.channels_last).eval()
    x = images(16, 3, 64, 64).requires_grad_()
    expected = gradients(net, x)
    with Counted() as mode:
        found = gradients(net, x)
    # 5 x 5 over 672 channels of 4 x 4, twice, and once to 2 x 2; 1,152 channels of 2 x 2, four times.
    assert mode.count == 7
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))


def test_where_it_is_used() -> None:
    net = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8))
    assert isinstance(quick(net, "fp32"), Quick)
    assert not isinstance(quick(net, "bf16"), Quick)
    net[0].compile()
    assert not isinstance(quick(net, "fp32"), Quick)
