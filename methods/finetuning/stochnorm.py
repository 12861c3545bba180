"""StochNorm: batch norm that normalises some channels by moving statistics, chosen anew in each step.

Kou et al. 2020, "Stochastic Normalization", NeurIPS.
https://proceedings.neurips.cc/paper/2020/hash/bc573864331a9e42e4511de6f678aa83-Abstract.html

As in the paper: a channel is normalised by moving statistics with probability 0.5, in all layers of batch
norm, whose statistics move on as always; in evaluation by moving statistics alone. A network without batch
norm is fine-tuned as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bench.api import Batch, GradientMethod, Model, tunable


class Stochnorm(GradientMethod):
    """Cross-entropy over all layers, with stochastic normalisation in place of batch norm."""

    reference = "hand-computed case"
    control = {"moving": 0.0}

    moving: float = tunable(0.5, 0.1, 0.9, log=False)
    """Probability that a channel is normalised by moving statistics, p in the paper."""

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Cross-entropy of a pass with stochastic normalisation."""
        with StochasticNormalization(self.moving):
            return super().loss(model, batch, progress)


class StochasticNormalization(TorchFunctionMode):
    """Mode in which batch norm in training takes the moving statistics for a random share of channels."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`, or mix its output with that of evaluation."""
        options = dict(kwargs or {})
        # Weights are standardised by batch norm too, which has no moving statistics then.
        if func is not nn.functional.batch_norm or not options["training"] or args[1] is None:
            return func(*args, **options)
        x, mean, variance = args
        # The statistics of now: the call below moves them on.
        moving = func(x, mean.clone(), variance.clone(), **{**options, "training": False})
        by_batch = func(*args, **options)
        chosen = torch.rand(x.shape[1], device=x.device) < self.share
        return torch.where(chosen.view(-1, *[1] * (x.ndim - 2)), moving, by_batch)
