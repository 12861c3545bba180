"""Split a network in two, so that what a frozen lower part computes can be kept instead of computed again.

Works for networks whose modules run once each, in the order they are registered: the lower part's modules
give way to stand-ins that answer with zeros of the right shape, and the module at the split point hands on
what was kept. Each split is checked: both parts in a row must compute what the whole network does.
"""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

from bench.core.errors import UserError, did_you_mean
from bench.networks.backbones.base import Backbone

POOLED = "pooled"
"""Split point behind the whole network, where pooled features are kept."""


class Prefix(nn.Module):
    """Frozen lower part, always in evaluation mode: items (B, ...) -> activation at the split point."""

    def __init__(self, backbone: Backbone, split_point: str) -> None:
        super().__init__()
        self.backbone = backbone.eval().requires_grad_(False)
        self.split_point = split_point

    def forward(self, x: Tensor) -> Tensor:
        """Run up to the split point."""
        if self.split_point == POOLED:
            pooled: Tensor = self.backbone(x)
            return pooled
        handle = module_at(self.backbone, self.split_point).register_forward_hook(_stop)
        try:
            self.backbone(x)
        except _Reached as reached:
            return reached.activation
        finally:
            handle.remove()
        raise UserError(f"the network's forward pass does not reach '{self.split_point}'")


def suffix(backbone: Backbone, split_point: str, item: Tensor) -> Backbone:
    """Upper part: activation at the split point -> features. Shares nothing with `backbone`.

    Args:
        backbone: the whole network.
        split_point: `POOLED` or the dotted name of a module, one of `backbone.stages`.
        item: (1, ...), as an image (1, 3, S, S), on which the split is checked.

    Raises:
        UserError: the network cannot be split there.
    """
    if split_point == POOLED:
        identity = Backbone(nn.Identity(), backbone.num_features, [])
        identity.input_shape, identity.channel_axis = (backbone.num_features,), 1
        return identity
    module_at(backbone, split_point)
    upper = copy.deepcopy(backbone).eval()
    lower = _registered_before(upper.net, split_point)
    shapes: dict[str, torch.Size] = {}
    handles = [
        upper.net.get_submodule(name).register_forward_hook(_note_shape(name, shapes)) for name in lower
    ]
    with torch.no_grad():
        whole = upper(item)
    for handle in handles:
        handle.remove()
    for name, shape in shapes.items():
        upper.net.set_submodule(name, _StandIn(shape, upper.net.get_submodule(name)))
    upper.net.set_submodule(split_point, _Carrier())
    stages = backbone.stages[backbone.stages.index(split_point) + 1 :]
    out = Backbone(_Upper(upper.net, split_point), backbone.num_features, [f"net.{name}" for name in stages])
    out.padded = backbone.padded
    with torch.no_grad():
        activation = Prefix(copy.deepcopy(backbone), split_point)(item)
        try:
            parts = out.eval()(activation)
        except Exception as error:
            # Whatever a network asks of a module that is not there any more.
            raise UserError(
                f"this network cannot be split at '{split_point}': {type(error).__name__}: {error}"
            ) from None
    out.input_shape = tuple(activation.shape[1:])
    out.channel_axis = channel_axis(backbone, split_point, activation)
    if not torch.allclose(whole, parts, rtol=1e-3, atol=1e-4):
        raise UserError(
            f"this network cannot be split at '{split_point}': its parts in a row compute something else"
        )
    return out


def channel_axis(backbone: Backbone, stage: str, activation: Tensor) -> int | None:
    """Axis of the channels in the activation behind a stage; None where no axis, or more than one, fits.

    timm says how many channels there are. Where several axes are of that size, the network's own format
    decides, or else the order of axes: maps have their channels first, tokens last.
    """
    fits = [
        axis for axis in range(1, activation.ndim) if activation.shape[axis] == backbone.widths.get(stage)
    ]
    if len(fits) < 2:
        return fits[0] if fits else None
    own = str(getattr(getattr(backbone.net, "output_fmt", None), "value", ""))
    usual = (
        own.find("C") if len(own) == activation.ndim else 1 if activation.ndim == 4 else activation.ndim - 1
    )
    return usual if usual in fits else None


def module_at(backbone: Backbone, name: str) -> nn.Module:
    """Module of that name; a `UserError` with a suggestion when there is none."""
    try:
        return backbone.net.get_submodule(name)
    except AttributeError:
        raise UserError(f"no layer '{name}' in this network: {did_you_mean(name, backbone.stages)}") from None


def stage_activations(backbone: Backbone, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Pooled features (B, D) of inputs, and the activation behind each stage, channels first: (B, C, ...)."""
    found: list[Tensor] = []

    def keep(stage: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            axis = channel_axis(backbone, stage, output) or 1
            found.append(output.movedim(axis, 1))
            # What was kept goes on through the network, so that it has a gradient.
            return found[-1].movedim(1, axis)

        return hook

    handles = [module_at(backbone, stage).register_forward_hook(keep(stage)) for stage in backbone.stages]
    try:
        return backbone(x), found
    finally:
        for handle in handles:
            handle.remove()


class _Reached(Exception):
    def __init__(self, activation: Tensor) -> None:
        super().__init__()
        self.activation = activation


def _stop(module: nn.Module, args: Any, output: Tensor) -> None:
    raise _Reached(output)


def _note_shape(name: str, shapes: dict[str, torch.Size]) -> Any:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            shapes[name] = output.shape

    return hook


def _registered_before(net: nn.Module, split_point: str) -> list[str]:
    """Names of the modules beside the path to the split point that come before it."""
    names, path = [], ""
    for part in split_point.split("."):
        for name, _ in net.get_submodule(path).named_children():
            if name == part:
                break
            names.append(f"{path}.{name}".lstrip("."))
        path = f"{path}.{part}".lstrip(".")
    return names


class _StandIn(nn.Module):
    """Answers with zeros of the shape that the module it replaces gave, and keeps its plain attributes."""

    def __init__(self, shape: torch.Size, replaced: nn.Module) -> None:
        super().__init__()
        self.shape = shape[1:]
        own = vars(self)
        # Sizes and flags that other modules ask for; its parameters and submodules are gone.
        own.update({name: value for name, value in vars(replaced).items() if name not in own})

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return x.new_zeros(()).expand(len(x), *self.shape)


class _Carrier(nn.Module):
    """Hands on the activation that it was given beforehand."""

    activation: Tensor | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        assert self.activation is not None
        return self.activation


class _Upper(nn.Module):
    """Network whose lower part is replaced: activation at the split point -> features."""

    def __init__(self, net: nn.Module, split_point: str) -> None:
        super().__init__()
        self.net = net
        self.split_point = split_point

    def forward(self, x: Tensor) -> Tensor:
        # Looked up by name, so that a copy of this module hands its input to its own carrier.
        carrier = cast(_Carrier, self.net.get_submodule(self.split_point))
        carrier.activation = x
        try:
            out: Tensor = self.net(x)
            return out
        finally:
            carrier.activation = None
