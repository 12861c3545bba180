"""Batch norm, ReLU and max-pool in one, with a cheap second derivative, for gradients through gradient steps.

PyTorch composes the derivative of batch norm's gradient of some thirty operations on whole feature maps. Only
the pooled places have a gradient of their own, so that here all but four of them are done on a quarter of the
map. In closed form, with z = (x - m) s, where m and s = 1 / sqrt(v + eps) are a channel's own over its M
values, and u the gradient by the affine output w z + b, which is zero but at the pooled places:

    by x: w s (u - mean(u) - z mean(u z));    by w: M mean(u z);    by b: M mean(u).
"""

from __future__ import annotations

import copy
import itertools
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bench.core.workarounds import applies

Network = TypeVar("Network", bound=nn.Module)

WORTH = 100_000
"""Elements of a feature map from which on fewer passes over it outweigh Python's own cost per operation."""


def cheap_second_order(net: Network) -> Network:
    """Copy a network, sharing its parameters, with blocks that are faster for two derivatives on a CPU.

    Buffers are copied. In the copy each batch norm, ReLU and 2 × 2 max-pool that follow each other in an
    `nn.Sequential` are one step; where that step is taken, running statistics are not updated.
    """
    out = copy.deepcopy(net, {id(p): p for p in net.parameters()})
    if not applies("second-order"):
        return out
    for module in list(out.modules()):
        if isinstance(module, nn.Sequential):
            for place in range(len(module) - 2):
                norm, relu, pool = itertools.islice(module, place, place + 3)
                if type(norm) is nn.BatchNorm2d and norm.affine and type(relu) is nn.ReLU and _halves(pool):
                    norm.__class__ = _NormReluPool
                    module[place + 1], module[place + 2] = nn.Identity(), nn.Identity()
    return out


def _halves(pool: nn.Module) -> bool:
    """True if it takes the largest of every 2 × 2 places, and nothing else."""
    usual = nn.MaxPool2d(2)
    names = ("kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode")
    return type(pool) is nn.MaxPool2d and all(
        getattr(pool, name) in (getattr(usual, name), (getattr(usual, name),) * 2) for name in names
    )


class _NormReluPool(nn.BatchNorm2d):
    """Batch norm that became the whole block; its parameters keep their names."""

    def forward(self, x: Tensor) -> Tensor:
        own = self.training or self.running_mean is None
        plain = x.device.type == "cpu" and x.is_contiguous() and x.dtype == self.weight.dtype
        if own and plain and x.numel() >= WORTH:
            return norm_relu_pool(x, self.weight, self.bias, self.eps)
        return nn.functional.max_pool2d(nn.functional.relu(super().forward(x)), 2)


def norm_relu_pool(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Batch norm by the batch's own statistics, ReLU, 2 × 2 max-pool: (N, C, H, W) -> (N, C, H // 2, W // 2).

    `x` is contiguous and on the CPU; the result can be differentiated twice.
    """
    out: Tensor = _Block.apply(x, weight, bias, eps)
    return out


class _Block(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        n, c, h, w = x.shape
        count = n * h * w
        mean = x.sum((0, 2, 3)).div_(count)
        one = torch.ones_like(mean)
        # The sum of (x - m) x is M times the variance.
        invstd = (_sums(x, x, mean, one)[0] / count + eps).rsqrt_()
        if (weight <= 0).any():  # The largest output is the smallest input, or the first of equals.
            places = _largest(x * weight.sign()[:, None, None])[1]
            z = x.flatten(2).gather(2, places)
        else:
            z, places = _largest(x)
        z = z.sub_(mean[:, None]).mul_(invstd[:, None])
        out = (z * weight[:, None]).add_(bias[:, None]).clamp_min_(0).view(n, c, h // 2, w // 2)
        ctx.save_for_backward(x, weight, mean, invstd, out, places, z)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return *_Gradient.apply(grads[0], *ctx.saved_tensors), None


class _Gradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor, *saved: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, mean, invstd, out, places, z = saved
        u = torch.ops.aten.threshold_backward(grad, out, 0).flatten(2)
        by_weight, by_bias = (u * z).sum((0, 2)), u.sum((0, 2))
        count = x.numel() // x.shape[1]
        mean_u, mean_uz = by_bias / count, by_weight / count
        scale = weight * invstd
        of_x = -scale * mean_uz * invstd
        by_x = _affine(x, of_x, -scale * mean_u - of_x * mean, places, u * scale[:, None])
        ctx.save_for_backward(u, x, weight, mean, invstd, out, places, z, mean_u, mean_uz)
        return by_x, by_weight, by_bias

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of S = <a, by x> + <b, by w> + <c, by b>, with respect to the incoming gradient, x and w.

        By u: w s (a - mean(a) - z mean(a z)) + b z + c. S depends on x through z and through s: by x it is
        s (h - mean(h) - z mean(h z)) - z mean(a, by x) s with h = b u - w s (a mean(u z) + u mean(a z)).
        """
        u, x, weight, mean, invstd, out, places, z, mean_u, mean_uz = ctx.saved_tensors
        count = x.numel() // x.shape[1]
        mean_az, mean_a = (total / count for total in _sums(a, x, mean, invstd))
        a_there = a.flatten(2).gather(2, places)
        scale = weight * invstd
        # What the first part of S is, by channel, but for w s M.
        inner = (a_there * u).sum((0, 2)) / count - mean_a * mean_u - mean_az * mean_uz
        of_u, of_a = b - scale * mean_az, -scale * mean_uz
        of_z = -(of_u * mean_uz + of_a * mean_az + scale * inner)
        of_x = invstd * invstd * of_z  # z = s x - s m
        rest = -invstd * (of_u * mean_u + of_a * mean_a) - of_x * mean
        by_x = _affine(x, of_x, rest, places, u * (invstd * of_u)[:, None])
        by_x.add_(a * (invstd * of_a)[:, None, None])
        by_u = a_there.mul_(scale[:, None]).add_(z * of_u[:, None]).add_((c - scale * mean_a)[:, None])
        by_grad = torch.ops.aten.threshold_backward(by_u.view_as(out), out, 0)
        return by_grad, by_x, inner * invstd * count, *[None] * 5


def _sums(grad: Tensor, x: Tensor, mean: Tensor, invstd: Tensor) -> tuple[Tensor, Tensor]:
    """Sums by channel of grad (x - mean) invstd and of grad, in one pass."""
    which = [False, True, True]
    _, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
        grad, x, invstd, None, None, mean, invstd, True, 0.0, which
    )
    return by_weight, by_bias


def _affine(x: Tensor, scale: Tensor, shift: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """scale x + shift, by channel, plus values (N, C, P) at places (N, C, P) of each map."""
    zero, one = torch.zeros_like(scale), torch.ones_like(scale)
    # In evaluation mode PyTorch's batch norm is this map in one vectorised pass.
    out = torch.native_batch_norm(x, scale, shift, zero, one, False, 0.0, 0.0)[0]
    out.view(*x.shape[:2], -1).scatter_add_(2, places, values)
    return out


def _largest(x: Tensor) -> tuple[Tensor, Tensor]:
    """Values and places in the flat map of the largest of each 2 × 2 patch: twice (N, C, H // 2 · W // 2).

    Of equals the first row by row, as `max_pool2d` takes it; that one is several times slower on a CPU.
    """
    h, w = x.shape[2] // 2, x.shape[3] // 2
    (a, b), (c, d) = ([x[:, :, i : 2 * h : 2, j : 2 * w : 2] for j in (0, 1)] for i in (0, 1))
    top, bottom = torch.maximum(a, b), torch.maximum(c, d)
    down, right = bottom > top, b > a
    right.logical_xor_((d > c).logical_xor_(right).logical_and_(down))
    corner = (2 * torch.arange(h) * x.shape[3])[:, None] + 2 * torch.arange(w)
    places = (corner + down.int().mul_(x.shape[3]).add_(right)).flatten(2)
    return torch.maximum(top, bottom).flatten(2), places
