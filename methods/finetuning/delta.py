"""DELTA: fine-tuning whose feature maps stay like those of the start, in the channels that the task needs.

Li et al. 2019, "DELTA: Deep Learning Transfer using Feature Map with Attention for Convolutional Networks".
https://arxiv.org/abs/1901.09229

As in the paper: the squared distance of the feature maps behind each stage from those of the network that
the stage began with, weighted by channel (equation 5), and the head's squared norm, in place of weight decay;
a channel weighs by what the loss of a linear classifier on the network's features gains when the channel is
taken away (section 3.4). As in its authors' code: a layer's sum is divided by its positions and multiplied by
its channels, and weights are a softmax of a fifth of the standardised gains. Unlike it: a channel's gain is
its first-order estimate, minus activation times gradient (Molchanov et al. 2017,
https://arxiv.org/abs/1611.06440), one pass for all channels, where the paper takes one for each; a mean over
images, where the authors' code sums over the batch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from bench.api import (
    Backbone,
    Batch,
    GradientMethod,
    Model,
    StageItems,
    Task,
    fit_logistic,
    stage_activations,
    tunable,
    zero_head,
)


class Delta(GradientMethod):
    """Cross-entropy plus the distance of attended feature maps from those that the stage began with."""

    reference = "hand-computed case"
    per_sample_loss = True
    control = {"alpha": 0.0}

    weight_decay: float = 0.0
    alpha: float = tunable(0.01, 1e-4, 1.0)
    """Strength of the pull on feature maps."""
    beta: float = tunable(0.01, 1e-4, 1.0)
    """Strength of the decay of the head."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Build the network, and beside it room for the one that a stage begins with."""
        model = super().build(backbone, task)
        model.start = copy.deepcopy(backbone).requires_grad_(False)
        return model

    def begin(self, model: Model, items: StageItems, task: Task) -> None:
        """Remember the backbone, and weigh its channels by a linear classifier on its features."""
        start, labelled = cast(Backbone, model.start).eval(), items.labelled
        start.load_state_dict(model.backbone.state_dict())
        network = Model(start, head := zero_head(start.num_features, task).to(labelled.y.device))
        fit_logistic(head, labelled.features(network), labelled.y, labelled.groups, task.seed)
        batches = zip(labelled.batches(task.batch_size), labelled.y.split(task.batch_size), strict=True)
        for number, gains in enumerate(channel_gains(network, batches)):
            model.register_buffer(f"attention{number}", attention(gains), persistent=False)

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Cross-entropy and both penalties."""
        features, maps = stage_activations(cast(Backbone, model.backbone), batch.x)
        _, before = torch.no_grad()(stage_activations)(cast(Backbone, model.start).eval(), batch.x)
        pairs = enumerate(zip(maps, before, strict=True))
        distances = [map_distance(*pair, model.get_buffer(f"attention{number}")) for number, pair in pairs]
        norm = torch.stack([p.square().sum() for p in model.head.parameters()]).sum()
        label_loss = nn.functional.cross_entropy(model.head(features), batch.y)
        return label_loss + self.alpha * torch.stack(distances).sum() + self.beta / 2 * norm


def channel_gains(network: Model, batches: Iterable[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """First-order estimates (C,) of what a loss gains without a channel, of the maps behind each stage."""
    found: list[list[Tensor]] = []
    for x, y in batches:
        # Gradients begin at the items, or where those are numbers of tokens, at the parameters.
        (x if x.is_floating_point() else network.backbone).requires_grad_()
        features, maps = stage_activations(cast(Backbone, network.backbone), x)
        loss = nn.functional.cross_entropy(network.head(features), y, reduction="sum")
        pairs = zip(maps, torch.autograd.grad(loss, maps), strict=True)
        found.append([-(now * slope).detach().transpose(0, 1).flatten(1).sum(1) for now, slope in pairs])
    return [torch.stack(parts).sum(0) for parts in zip(*found, strict=True)]


def attention(gains: Tensor) -> Tensor:
    """Weights (C,) of channels, which sum to 1, by what the loss gains without them."""
    spread = gains.std(correction=0).clamp_min(torch.finfo(gains.dtype).tiny)
    return ((gains - gains.mean()) / spread / 5).softmax(0)


def map_distance(maps: Tensor, before: Tensor, weights: Tensor) -> Tensor:
    """Half the mean squared distance of feature maps (B, C, ...), channels weighted, times C: -> ()."""
    by_channel = (maps - before).float().square().unsqueeze(-1).flatten(2).mean(2)
    return len(weights) / 2 * (by_channel * weights).sum(1).mean()
