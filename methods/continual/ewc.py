"""EWC: weights that mattered for earlier tasks are held where those tasks left them.

Kirkpatrick et al. 2017, "Overcoming catastrophic forgetting in neural networks".
https://arxiv.org/abs/1612.00796

As in the paper: strength / 2 times the squared distance from the weights that each task ended with, weighted
by the diagonal of the Fisher information there (equation 3). The penalties of several tasks are one: Fisher
information adds up, and its weighted mean of the weights is the centre; the difference is a constant. The
diagonal is empirical: the mean squared gradient of the log-likelihood of the labels, over single items.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from bench.api import (
    Access,
    Backbone,
    Batch,
    Details,
    GradientMethod,
    Importance,
    Model,
    StageItems,
    Task,
    even_share,
    fisher_diagonal,
    tunable,
)


class Ewc(GradientMethod):
    """Cross-entropy, and a pull towards the weights of earlier tasks by their Fisher information."""

    reference = "avalanche-lib 0.6.0"
    access = Access.TARGET_LABELS
    needs = Access.TASKS
    control = "naive"
    bounds = {"samples": ">= 1"}

    strength: float = tunable(100.0, 1.0, 1e5)
    """Weight of the penalty, lambda in the paper."""
    samples: int = 64
    """Items of a task that its Fisher information is estimated from."""

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Build the backbone, a linear head, and no importance yet."""
        model = super().build(backbone, task)
        model.importance = Importance(weights(model))
        return model

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Cross-entropy and the penalty."""
        penalty = cast(Importance, model.importance).penalty(weights(model))
        return super().loss(model, batch, progress) + self.strength / 2 * penalty

    def finish(self, model: Model, items: StageItems, task: Task) -> None:
        """Add the importance of the weights for the task that ends."""
        model.eval()
        y = items.labelled.y
        chosen = set(even_share(y, self.samples).tolist())
        rows = enumerate(row for x in items.labelled.batches() for row in x.split(1))
        pairs = [(x, y[at]) for at, x in rows if at in chosen]
        cast(Importance, model.importance).add(weights(model), fisher_diagonal(model, weights(model), pairs))

    def report(self, model: Model) -> Details:
        """Bytes that are kept of earlier tasks."""
        return {"bytes_kept": sum(b.nbytes for b in cast(Importance, model.importance).buffers())}


def weights(model: Model) -> list[nn.Parameter]:
    """Parameters of the network."""
    return [*model.backbone.parameters(), *model.head.parameters()]
