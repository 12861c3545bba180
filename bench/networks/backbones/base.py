"""Backbone: a network without its classifier; and what a family of networks offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from torch import Tensor, nn


class Backbone(nn.Module):
    """Network without its classifier: items (B, ...), as images (B, 3, S, S) -> features (B, `num_features`).

    `stages` are the names of its modules after which the resolution changes, from input to output. Where
    a lower part is frozen, `net` is what remains, and takes that part's activations instead of items.
    """

    def __init__(
        self,
        net: nn.Module,
        num_features: int,
        stages: list[str],
        widths: Mapping[str, int] | None = None,
        padded: bool = False,
        letters: int = 0,
    ) -> None:
        """`widths`: channels of the activation behind each stage. `padded`: places of zeros are padding.

        `letters`: of a network of sequences, the numbers that places hold: padding, letters, the unknown one.
        """
        super().__init__()
        self.net = net
        self.num_features = num_features
        self.stages = stages
        self.widths = dict(widths or {})
        self.padded = padded
        self.letters = letters
        self.marks = 0
        """Places of such a network's activations that come before the first letter's."""
        self.name = ""
        """Name that it was created by, weights included."""
        self.input_shape: tuple[int, ...] | None = None
        """Shape of one item's activation at the split point, where the lower part is frozen."""
        self.channel_axis: int | None = None
        """Axis of the channels in a batch of such activations; None where it is not known."""

    def stage_parameters(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: one list per stage, the last with all that comes behind it."""
        parts: list[list[nn.Parameter]] = [[] for _ in self.stages or ["all"]]
        place, places = len(parts) - 1, dict[str, int]()
        # Backwards, so that what lies between two stages belongs to the one it leads to. By modules, since a
        # stage may end in one without parameters.
        for name, _ in reversed(list(self.net.named_modules())):
            inside = [n for n, stage in enumerate(self.stages) if f"{name}.".startswith(f"{stage}.")]
            place = places[name] = inside[0] if inside else place
        for name, parameter in self.net.named_parameters():
            parts[places[name.rpartition(".")[0]]].append(parameter)
        return parts

    def there(self, activation: Tensor) -> Tensor | None:
        """Places of an activation (B, ...) at the split point that are no padding, bool, one channel.

        None where all are.
        """
        return (activation != 0).any(self.channel_axis, keepdim=True) if self.padded else None

    def place_mean(self, activation: Tensor) -> Tensor:
        """Mean (B, C) over the places of an activation (B, ...) at the split point, padding left out."""
        places = tuple(axis for axis in range(1, activation.ndim) if axis != self.channel_axis)
        there = self.there(activation)
        if there is None:
            # Of no axes, torch takes the mean over all.
            return activation.mean(places) if places else activation
        return (activation * there).sum(places) / there.sum(places).clamp_min(1)

    def plain_attention(self) -> None:
        """Compute attention step by step from now on: fused kernels have one derivative only."""
        for module in self.modules():
            if getattr(module, "fused_attn", False):
                cast(Any, module).fused_attn = False

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features: (B, ...) -> (B, num_features)."""
        out: Tensor = self.net(x)
        return out


class Family(Protocol):
    """Networks of one kind: what a module of this folder offers."""

    def check(self, name: str) -> None:
        """Check that there is such a network.

        Raises:
            UserError: there is none, with a suggestion.
        """
        ...

    def create(self, name: str, size: int | None) -> Backbone:
        """Create a network with its weights; random ones are drawn from torch's global generator.

        Raises:
            UserError: unknown name, or weights that are out of reach.
        """
        ...

    def head(self, name: str) -> nn.Module:
        """Classifier that a network was pretrained with.

        Raises:
            CellSkipped: its weights come without one.
        """
        ...

    def example(self, name: str, size: int, count: int = 1) -> Tensor:
        """Items (count, ...) of a size that a network takes, to try it on."""
        ...

    def fault(self, name: str, size: int, count: int, training: bool) -> str:
        """Reason why a network does not take a batch of items; empty where it does, or is not here yet."""
        ...

    def made_for(self, name: str) -> int | None:
        """Size of the items that a network was made for; None where it is not known."""
        ...
