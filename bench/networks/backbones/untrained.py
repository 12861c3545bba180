"""Family of networks of our own, without pretrained weights: the source stage is their pretraining."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from bench.core.errors import CellSkipped, UserError, did_you_mean
from bench.networks.backbones.base import Backbone
from bench.networks.hub.files import UNTRAINED

Make = Callable[[int], Backbone]
"""Makes a network for items of a size."""


USUAL = 32
"""Size that a network is built for where none is said, to see its form."""


class UntrainedFamily:
    """Networks by the names of their architectures; all are called `NAME.untrained`."""

    def __init__(self, makers: Mapping[str, Make], dtype: torch.dtype) -> None:
        """`dtype` of the items, which are (size,)."""
        self._makers, self._dtype = makers, dtype

    def check(self, name: str) -> None:
        """Check that there is such a network.

        Raises:
            UserError: there is none, or it is asked for with weights.
        """
        architecture, _, tag = name.partition(".")
        known = [f"{own}.{UNTRAINED}" for own in self._makers]
        if architecture not in self._makers:
            raise UserError(f"unknown backbone '{name}': {did_you_mean(name, known)}")
        if tag != UNTRAINED:
            raise UserError(f"'{architecture}' has no pretrained weights: use '{architecture}.{UNTRAINED}'")

    def create(self, name: str, size: int | None) -> Backbone:
        """Create a network for items of a size; its weights are drawn from torch's global generator.

        Raises:
            UserError: unknown name.
        """
        self.check(name)
        return self._makers[name.partition(".")[0]](size or USUAL)

    def head(self, name: str) -> nn.Module:
        """Raise `CellSkipped`: there is no classifier that such a network was pretrained with."""
        raise CellSkipped(f"'{name}' comes without the classifier that it was pretrained with")

    def example(self, name: str, size: int, count: int = 1) -> Tensor:
        """Items (count, size) of ones, so that none is padding."""
        return torch.ones(count, size, dtype=self._dtype)

    def fault(self, name: str, size: int, count: int, training: bool) -> str:
        """Reason why a network does not take a batch of items; empty where it does."""
        try:
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                self.create(name, size).train(training)(self.example(name, size, count))
        except (ValueError, RuntimeError) as error:
            return str(error).splitlines()[0]
        return ""

    def made_for(self, name: str) -> int | None:
        """None: they are built for any size."""
        return None
