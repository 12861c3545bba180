"""AdaBN: batch norm whose statistics are those of the target.

Li et al. 2016, "Revisiting Batch Normalization For Practical Domain Adaptation".
https://arxiv.org/abs/1603.04779

As in the paper (algorithm 1): the network is trained on labelled items, then mean and variance of each
layer of batch norm are computed anew on unlabelled target items. A network without batch norm stays as it
is.
"""

from __future__ import annotations

import torch
from torch import nn

from bench.api import Access, GradientMethod, Model, StageItems, Task

Norm = nn.modules.batchnorm._BatchNorm


class Adabn(GradientMethod):
    """Cross-entropy over all layers, then batch norm's statistics of the unlabelled target."""

    reference = "pytorch-adapt 0.0.83"
    access = Access.SOURCE_LABELS | Access.TARGET_IMAGES | Access.TARGET_LABELS
    needs = Access.SOURCE_LABELS | Access.TARGET_IMAGES

    def finish(self, model: Model, items: StageItems, task: Task) -> None:
        """Recompute all statistics as plain means over batches of the target."""
        assert items.unlabelled is not None
        norms = [module for module in model.modules() if isinstance(module, Norm)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        model.train()
        with torch.no_grad():
            for x in items.unlabelled.batches():
                model.features(x)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
