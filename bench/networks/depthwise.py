"""Depthwise convolutions whose weight gradient oneDNN is slow at: kernels beyond 3 x 3, and small images.

For those the CPU library takes ten to thirty times as long as for the convolution itself; a sum of products
of shifted images, one for each place of the kernel, takes a half to a fifteenth of that. In a step of
EfficientNet-Lite at 64 pixels it is a tenth of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bench.core.workarounds import applies

MOST = 36
"""Places of an output, height times width, beyond which oneDNN is as fast again."""
FEW = 4
"""Places at which it is slow with any number of images and channels."""
LEAST = 10_000
"""Images times channels, below which it is as fast at more places than those."""

Pair = tuple[int, int]


def quick(model: nn.Module, precision: str) -> AbstractContextManager[object]:
    """Compute gradients faster within the block, where modules are on a CPU, in fp32, not compiled.

    They differ in their last digits.
    """
    compiled = any(module._compiled_call_impl is not None for module in model.modules())
    on_cpu = next(model.parameters()).device.type == "cpu"
    suitable = on_cpu and precision == "fp32" and not compiled and applies("depthwise")
    return Quick() if suitable else nullcontext()


class Quick(TorchFunctionMode):
    """Mode in which convolutions that `suits` accepts go through `Depthwise`, and trained biases behind."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`, or `Depthwise` instead."""
        if func is torch.conv2d and not kwargs and len(args) == 7 and torch.is_grad_enabled():
            x, weight, bias, stride, padding, dilation, groups = args
            if bias is not None and bias.requires_grad and not weight.requires_grad:
                return func(x, weight, None, *args[3:]) + bias[:, None, None]
            if dilation == (1, 1) and groups == x.shape[1] and suits(x, weight, stride, padding):
                return Depthwise.apply(x, weight, bias, stride, padding)
        return func(*args, **(kwargs or {}))


def suits(x: Tensor, weight: Tensor, stride: Any, padding: Any) -> bool:
    """True if this depthwise convolution of images (N, C, H, W) is one that oneDNN is slow at."""
    channels, depth, *kernel = weight.shape
    if not (weight.requires_grad and depth == 1 and channels == x.shape[1] and isinstance(padding, tuple)):
        return False
    if not (x.dtype == weight.dtype == torch.float32 and x.is_contiguous(memory_format=torch.channels_last)):
        return False
    height, width = (
        (size + 2 * pad - k) // step + 1
        for size, k, step, pad in zip(x.shape[2:], kernel, stride, padding, strict=True)
    )
    few = height * width <= FEW or (height * width <= MOST and len(x) * channels >= LEAST)
    return few and (max(kernel) > 3 or min(x.shape[2:]) < max(kernel))


class Depthwise(torch.autograd.Function):
    """Depthwise convolution whose backward pass can be differentiated again."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair) -> Tensor:
        """(N, C, H, W), (C, 1, h, w), (C,) -> (N, C, H', W')."""
        return torch.conv2d(x, weight, bias, stride, padding, 1, len(weight))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what `backward` needs."""
        x, weight, _, ctx.stride, ctx.padding = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the images, the weight and the bias."""
        (grad,), (x, weight) = grads, ctx.saved_tensors
        over_x = over_weight = over_bias = None
        if ctx.needs_input_grad[0]:
            rest = ((1, 1), False, (0, 0), len(weight), (True, False, False))
            over_x = torch.ops.aten.convolution_backward(
                grad, x, weight, None, ctx.stride, ctx.padding, *rest
            )[0]
        if ctx.needs_input_grad[1]:
            over_weight = weight_gradient(x, grad, weight.shape[2:], ctx.stride, ctx.padding)
        if ctx.needs_input_grad[2]:
            over_bias = grad.sum((0, 2, 3))
        return over_x, over_weight, over_bias, None, None


def weight_gradient(x: Tensor, grad: Tensor, kernel: tuple[int, ...], stride: Pair, padding: Pair) -> Tensor:
    """Gradient (C, 1, h, w) of a depthwise weight.

    At each place of the kernel the sum, over images and outputs, of the output's gradient times the input
    that this place met there; inputs beyond the border are zero and left out.

    Args:
        x: (N, C, H, W), channels last in memory.
        grad: (N, C, H', W').
        kernel: (h, w).
        stride: down, across.
        padding: down, across.
    """
    inputs, outputs = x.permute(0, 2, 3, 1), grad.permute(0, 2, 3, 1)
    rows, columns = (
        [_met(place, *sizes) for place in range(sizes[0])]
        for sizes in zip(kernel, x.shape[2:], grad.shape[2:], stride, padding, strict=True)
    )
    nothing = x.new_zeros(x.shape[1])
    sums = [
        (inputs[:, down[0], across[0]] * outputs[:, down[1], across[1]]).sum((0, 1, 2))
        if down and across
        else nothing
        for down in rows
        for across in columns
    ]
    return torch.stack(sums, 1).view(x.shape[1], 1, *kernel)


def _met(
    place: int, kernel: int, size: int, outputs: int, stride: int, padding: int
) -> tuple[slice, slice] | None:
    """Inputs that a place of the kernel meets along one side, and the outputs where it does; None: none."""
    first = max(0, -((place - padding) // stride))
    last = min(outputs - 1, (size - 1 + padding - place) // stride)
    if last < first:
        return None
    start = first * stride + place - padding
    return slice(start, start + (last - first) * stride + 1, stride), slice(first, last + 1)
