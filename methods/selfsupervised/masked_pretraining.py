"""Masked pretraining: letters are hidden and told from those around them, then the network is fine-tuned.

Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding".
https://arxiv.org/abs/1810.04805
Gururangan et al. 2020, "Don't Stop Pretraining: Adapt Language Models to Domains and Tasks".
https://arxiv.org/abs/2004.10964

Of 15 % of the letters, 80 % are hidden, 10 % become another and 10 % stay, and all are predicted (Devlin et
al., section 3.1). That is done on the task's own items without their labels, those of source and target, as
in Gururangan et al., section 4. Here it has a share of the first stage's steps, so that the budget is that of
the other methods.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bench.api import (
    Access,
    Backbone,
    Batch,
    CellSkipped,
    GradientMethod,
    Model,
    StageItems,
    Task,
    stage_activations,
    tunable,
)


class MaskedPretraining(GradientMethod):
    """Cross-entropy of hidden letters in the first part of the first stage, then that of the labels."""

    reference = "hand-computed case"
    access = Access.SOURCE_LABELS | Access.TARGET_IMAGES | Access.TARGET_LABELS
    control = {"share": 0.0}
    bounds = {"masked": ">= 0, <= 1"}

    share: float = tunable(0.5, 0.1, 0.8, log=False)
    """Part of the first stage's steps that see no labels."""
    masked: float = 0.15
    """Share of the letters that are predicted."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Network that predicts letters, too; `CellSkipped` for one that takes none."""
        if not backbone.letters or not backbone.stages:
            name = type(backbone.net).__name__
            raise CellSkipped(f"masked-pretraining needs a network of letters, which {name} is not")
        model = super().build(backbone, task)
        model.letters = nn.Linear(backbone.widths[backbone.stages[-1]], backbone.letters)
        model.register_buffer("until", torch.zeros(()))
        return model

    def begin(self, model: Model, items: StageItems, task: Task) -> None:
        """Note how long letters are predicted: in the first stage alone."""
        cast(Tensor, model.until).fill_(self.share if task.place == 0 else 0.0)

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Cross-entropy of letters, or of labels."""
        if progress >= float(cast(Tensor, model.until)):
            return nn.functional.cross_entropy(model(batch.x), batch.y)
        x = batch.x if batch.target_x is None else torch.cat([batch.x, batch.target_x])
        letters = cast(nn.Linear, model.letters)
        chosen = (torch.rand(x.shape) < self.masked).to(x.device) & (x != 0)
        fate, other = torch.rand(x.shape), torch.randint(1, letters.out_features, x.shape)
        shown = hidden(x, chosen, fate.to(x.device), other.to(x.device), letters.out_features - 1)
        backbone = cast(Backbone, model.backbone)
        places = stage_activations(backbone, shown)[1][-1].movedim(1, -1)
        places = places[:, backbone.marks : backbone.marks + x.shape[1]]
        losses = nn.functional.cross_entropy(letters(places[chosen]), x[chosen], reduction="sum")
        return losses / chosen.sum().clamp_min(1)


def hidden(x: Tensor, chosen: Tensor, fate: Tensor, other: Tensor, mask: int) -> Tensor:
    """Letters (B, L) of which the chosen ones are hidden where `fate` < 0.8, and others where it is < 0.9."""
    x = torch.where(chosen & (fate < 0.9), other, x)
    return torch.where(chosen & (fate < 0.8), mask, x)
